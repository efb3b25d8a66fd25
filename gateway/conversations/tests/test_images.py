"""Images: validated by content, stored encrypted, sent to models with vision, shown to readers only."""

import base64
import struct
import time
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from PIL import Image as Pixels

from accounts.tests.cast import Cast
from gateway.conversations.images import MOST_UNSENT, SIDE, forget_unsent_images
from gateway.models import Image
from gateway.tests.events import body, send
from gateway.tests.pictures import picture
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.tool_setup import MODEL
from kit.tenancy import tenant_scope

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def seeing(calculator: RealMCP, client_of: Any, cast: Cast) -> None:
    """The clever model sees images."""
    model = f"/v1/workspaces/sales/models/{MODEL}"
    assert client_of(cast.alice).patch(model, json={"abilities": ["images", "tools"]}).is_success


def attach(client: Any, data: bytes = b"") -> str:
    made = client.post("/v1/images", content=data or picture())
    assert made.status_code == 201, made.text
    image_id: str = made.json()["id"]
    return image_id


def shown(request: dict[str, Any]) -> list[list[str]]:
    """The media types of the images in each of a model call's messages."""
    contents = [message["content"] for message in request["messages"]]
    return [
        [part["image_url"]["url"].partition(";")[0] for part in content if part["type"] == "image_url"]
        for content in contents
        if isinstance(content, list)
    ]


def test_a_model_sees_attached_images(
    seeing: None, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    bob = client_of(cast.bob)
    images = [attach(bob), attach(bob, picture("JPEG"))]
    received = send(bob, "what is this?", model=MODEL, images=images).json()
    asked = provider.requests[-1]
    assert asked["messages"][-1]["content"][0] == {"type": "text", "text": "what is this?"}
    assert shown(asked) == [["data:image/png", "data:image/jpeg"]]
    messages = bob.get(f"/v1/conversations/{received['conversation_id']}/messages").json()["data"]
    assert [image["id"] for image in messages[0]["images"]] == images
    assert (messages[0]["images"][0]["width"], messages[1]["images"]) == (40, [])


def test_later_messages_show_an_image_again_and_blind_models_get_a_note(
    seeing: None, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    bob = client_of(cast.bob)
    first = send(bob, "look", model=MODEL, images=[attach(bob)]).json()
    conversation = {"conversation_id": first["conversation_id"]}
    send(bob, "and now?", model=MODEL, **conversation)
    assert shown(provider.requests[-1]) == [["data:image/png"]]
    send(bob, "and you?", model="local", **conversation)
    assert "which this model cannot see" in str(provider.requests[-1]["messages"][0]["content"])


def test_an_earlier_message_is_sent_with_all_of_its_images(
    seeing: None, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    bob = client_of(cast.bob)
    first = send(bob, "look", model=MODEL, images=[attach(bob)]).json()
    conversation = {"conversation_id": first["conversation_id"]}
    send(bob, "and these?", model=MODEL, images=[attach(bob) for _ in range(6)], **conversation)
    send(bob, "the sixth?", model=MODEL, **conversation)
    assert [len(types) for types in shown(provider.requests[-1])] == [6]


def test_a_regenerated_question_keeps_its_images_and_an_edited_one_those_it_names(
    seeing: None, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    bob = client_of(cast.bob)
    image = attach(bob)
    first = send(bob, "look", model=MODEL, images=[image]).json()
    conversation = {"conversation_id": first["conversation_id"], "model": MODEL}
    again = send(bob, None, replaces=first["turn_id"], **conversation).json()  # type: ignore[arg-type]
    assert shown(provider.requests[-1]) == [["data:image/png"]]
    edited = send(
        bob, "look closer", replaces=again["turn_id"], images=[image, attach(bob)], **conversation
    ).json()
    assert shown(provider.requests[-1]) == [["data:image/png"] * 2]
    send(bob, "never mind", replaces=edited["turn_id"], **conversation)
    assert shown(provider.requests[-1]) == []
    assert send(bob, "steal", model=MODEL, images=[image]).status_code == 422  # it is that conversation's


def test_a_model_without_vision_refuses_images(calculator: RealMCP, client_of: Any, cast: Cast) -> None:
    bob = client_of(cast.bob)
    payload = body("look", model=MODEL, images=[attach(bob)])
    refused = bob.post("/v1/chat/send", json=payload)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model_lacks_ability")
    received = bob.post("/v1/chat/explain", json=payload).json()
    assert [check["allowed"] for check in received["checks"] if check["check"] == "images"] == [False]
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    completion = {"model": MODEL, "messages": [{"role": "user", "content": [part]}]}
    answer = bob.post("/v1/chat/completions", json=completion)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "model_lacks_ability", "messages")


@pytest.mark.parametrize(
    "upload",
    [
        SVG,
        b"",
        b"GIF89a",
        picture()[:60],
        b"%PDF-1.7",
        picture("BMP"),
        b"<html>",
        base64.b64encode(picture()),
    ],
)
def test_a_body_that_is_not_a_picture_is_refused(
    server: Any, client_of: Any, cast: Cast, upload: bytes
) -> None:
    claims = {"Content-Type": "image/png"}
    refused = client_of(cast.bob).post("/v1/images", content=upload, headers=claims)
    assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, ["image"])


def test_a_form_with_one_file_is_an_upload_too(server: Any, client_of: Any, cast: Cast) -> None:
    bob, file = client_of(cast.bob), ("r.png", picture(), "image/png")
    for name in ("image", "file"):
        made = bob.post("/v1/images", files={name: file})
        assert (made.status_code, made.json()["width"]) == (201, 40)
    refused = {
        "image": {"files": [("image", file), ("file", file)]},
        "wrong": {"files": {"wrong": file}},
        "note": {"files": {"image": file}, "data": {"note": "mine"}},
    }
    for field, sent in refused.items():
        answer = bob.post("/v1/images", **sent)
        assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [field])
    for broken in (
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=é",
    ):
        answer = bob.post("/v1/images", content=b"--y--", headers={"Content-Type": broken.encode()})
        assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["image"]), broken


def test_a_hostile_form_is_refused_and_costs_little(server: Any, client_of: Any, cast: Cast) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n'
    bodies = {
        "fields": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nv\r\n' * 150_000,
        "files": (part + b"\r\nv\r\n") * 120_000,
        "base64": part + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"a " * 4_500_000 + b"\r\n--x--",
        "near the boundary": part + b"\r\n" + b"\r\n--" * 2_200_000 + b"\r\n--x--",
        "headers": b"--x\r\n" + b"a" * 9_000_000,
    }
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    bob, began = client_of(cast.bob), time.process_time()
    for name, hostile in bodies.items():
        answer = bob.post("/v1/images", content=hostile, headers=headers)
        assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, ["image"]), name
    assert time.process_time() - began < 5


def test_decompression_bombs_and_oversized_pictures_are_refused(
    server: Any, client_of: Any, cast: Cast, settings: Any
) -> None:
    bob = client_of(cast.bob)
    bomb = bob.post("/v1/images", content=picture("PNG", (6_000, 6_000)))
    assert (bomb.status_code, bomb.json()["error"]["code"]) == (422, "invalid_input")
    settings.IMAGE_MAX_BYTES = 10_000
    assert bob.post("/v1/images", content=b"x" * 10_001).status_code == 413
    with tenant_scope(cast.bob.principal.tenant):
        owner = {"workspace_id": cast.bob.principal.workspace.id, "user_id": cast.bob.principal.user_id}
        for _ in range(MOST_UNSENT):
            Image.objects.create(media_type="image/png", width=1, height=1, **owner)
        oldest = Image.objects.earliest("created_at").id
    settings.IMAGE_MAX_BYTES = 1_000_000
    attach(bob)
    assert bob.get(f"/v1/images/{oldest}").status_code == 404  # it gave way
    with tenant_scope(cast.bob.principal.tenant):
        assert Image.objects.count() == MOST_UNSENT


ASCII, SHORT, FLOAT = 2, 3, 11  # TIFF's types


@pytest.mark.parametrize(
    ("tag", "kind"), [(0x0100, ASCII), (0x010E, SHORT), (0x011A, ASCII), (0x0131, SHORT), (0x9000, FLOAT)]
)
def test_invalid_metadata_does_not_prevent_an_upload(
    server: Any, client_of: Any, cast: Cast, tag: int, kind: int
) -> None:
    turned = (0x0112, SHORT, 1, 6 << 16)  # by 90 degrees
    entries = sorted([turned, (tag, kind, 1, 0x41000000)])
    written = b"".join(struct.pack(">HHLL", *entry) for entry in entries)
    exif = b"Exif\0\0MM\0*" + struct.pack(">LH", 8, len(entries)) + written + bytes(4)
    bob = client_of(cast.bob)
    answer = bob.get(f"/v1/images/{attach(bob, picture('JPEG', (40, 30), exif=exif))}")
    with Pixels.open(BytesIO(answer.content)) as stored:
        assert stored.size == (30, 40)


def test_an_image_is_reencoded_without_metadata(server: Any, client_of: Any, cast: Cast) -> None:
    exif = Pixels.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"  # to be turned by 90 degrees
    bob = client_of(cast.bob)
    image_id = attach(bob, picture("JPEG", (3_000, 1_500), exif=exif))
    answer = bob.get(f"/v1/images/{image_id}")
    with Pixels.open(BytesIO(answer.content)) as stored:
        assert (stored.format, stored.size) == ("JPEG", (SIDE // 2, SIDE))
        assert not stored.getexif()
    assert (answer.headers["content-type"], answer.headers["x-content-type-options"]) == (
        "image/jpeg",
        "nosniff",
    )
    known = {"If-None-Match": answer.headers["etag"]}
    again = bob.get(f"/v1/images/{image_id}", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert client_of(cast.alice).get(f"/v1/images/{image_id}", headers=known).status_code == 404
    with tenant_scope(cast.bob.principal.tenant):
        assert Image.objects.get().sealed.startswith("gAAAA")  # a Fernet token


def test_an_image_is_visible_to_readers_of_its_conversation_only(
    seeing: None, client_of: Any, cast: Cast
) -> None:
    bob, others = client_of(cast.bob), [client_of(p) for p in (cast.alice, cast.dana, cast.charlie)]
    image_id = attach(bob)
    url = f"/v1/images/{image_id}"
    assert [other.get(url).status_code for other in others] == [404] * 3
    assert send(others[0], "mine?", model=MODEL, images=[image_id]).status_code == 422
    received = send(bob, "look", model=MODEL, images=[image_id]).json()
    assert [other.get(url).status_code for other in others] == [404] * 3
    bob.patch(f"/v1/conversations/{received['conversation_id']}", json={"shared": True})
    assert [other.get(url).status_code for other in others] == [200, 404, 404]
    assert bob.delete(url).status_code == 404  # it was sent
    bob.delete(f"/v1/conversations/{received['conversation_id']}")
    assert bob.get(url).status_code == 404
    with tenant_scope(cast.bob.principal.tenant):
        assert not Image.objects.exists()


def test_unsent_images_are_deleted(server: Any, client_of: Any, cast: Cast) -> None:
    bob = client_of(cast.bob)
    assert bob.delete(f"/v1/images/{attach(bob)}").status_code == 204
    attach(bob)
    with tenant_scope(cast.bob.principal.tenant):
        assert forget_unsent_images() == 0
        row = Image.objects.get()
        Image.objects.update(created_at=row.created_at - timedelta(days=2))
        assert forget_unsent_images() == 1


@pytest.mark.parametrize("images", [["nothing"], "all", [None], ["00000000-0000-4000-8000-000000000000"] * 9])
def test_an_invalid_image_id_is_rejected_with_the_field_name(
    seeing: None, client_of: Any, cast: Cast, images: Any
) -> None:
    refused = send(client_of(cast.bob), "look", model=MODEL, images=images)
    assert refused.status_code == 422
    assert all(field.startswith("images") for field in refused.json()["error"]["details"])
