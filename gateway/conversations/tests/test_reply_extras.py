"""Sources and images of a reply: what is shown, what is left out, and what is stored."""

from base64 import b64encode
from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.conversations.reply_extras import MOST_SOURCES, extras_of, safe_url
from gateway.models import Image, Turn
from gateway.providers.base import Extra
from gateway.tests.events import read_events, resume
from gateway.tests.pictures import picture
from gateway.tests.scripted_provider import Script, ScriptedProvider
from kit.tenancy import tenant_scope


def data_url(kind: str = "image/png", data: bytes | None = None) -> str:
    return f"data:{kind};base64,{b64encode(picture() if data is None else data).decode()}"


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def cited(url: str, title: str = "") -> dict[str, Any]:
    return {"type": "url_citation", "url_citation": {"url": url, "title": title}}


def test_sources_are_read_in_every_form_without_duplicates() -> None:
    found = extras_of(
        [
            Extra("message", "annotations", [cited("https://a.example/1"), {"url": "https://b.example"}]),
            Extra("message", "annotations", [cited("https://a.example/1", " A\n page ")]),
            Extra("answer", "citations", ["https://c.example", "https://b.example"]),
            Extra("answer", "search_results", [{"url": "https://d.example", "title": "D"}]),
        ]
    )
    assert [(source["url"], source["title"]) for source in found.sources] == [
        ("https://a.example/1", "A page"),
        ("https://b.example", ""),
        ("https://c.example", ""),
        ("https://d.example", "D"),
    ]


@pytest.mark.parametrize("value", [None, 7, "x", {"url": 1}, [None, 7, {"url_citation": 7}, {"url": []}]])
@pytest.mark.parametrize("name", ["annotations", "images", "citations", "search_results"])
def test_what_cannot_be_read_is_left_out(name: str, value: Any) -> None:
    place = "message" if name in {"annotations", "images"} else "answer"
    assert extras_of([Extra(place, name, value)]).sources == ()


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "//a.example", "https://", "https://u:p@a.example", "/a",
     "https://a.example/\n", "ftp://a.example", "https://[", "https://a.example/" + "a" * 2000, None],
)  # fmt: skip
def test_only_web_addresses_are_links(url: Any) -> None:
    assert safe_url(url) == ("https://a.example/" if url == "https://a.example/\n" else "")


def test_the_number_of_sources_is_bounded() -> None:
    many = Extra("answer", "citations", [f"https://a.example/{number}" for number in range(200)])
    assert len(extras_of([many]).sources) == MOST_SOURCES


def test_a_reply_of_images_is_stored_sealed_and_opened_again(
    provider: ScriptedProvider, server: Any, client_of: Any, cast: Cast
) -> None:
    url = data_url()
    images = [
        image(url),
        image(url),
        image(data_url("image/svg+xml", b"<svg/>")),
        image("https://a.example/p"),
    ]
    provider.script = Script(
        steps=[], deltas=[{"images": images}, {"annotations": [cited("https://b.example", "B")]}]
    )
    alice = client_of(cast.alice)
    events = read_events(alice, "draw")
    live = next(event.data["value"] for event in events if event.data.get("name") == "images")
    assert [item["image_url"]["url"] for item in live] == [item["image_url"]["url"] for item in images]
    conversation = f"/v1/conversations/{events[0].data['conversation_id']}"
    reply = alice.get(f"{conversation}/messages").json()["data"][1]
    assert [(shown["width"], shown["media_type"]) for shown in reply["images"]] == [(40, "image/png")]
    assert reply["sources"] == [{"url": "https://b.example", "title": "B"}]
    assert (reply["content"], reply["image_urls"]) == ("", ["https://a.example/p"])
    image_id = reply["images"][0]["id"]
    assert live[0]["image_id"] == live[1]["image_id"] == image_id
    assert alice.get(f"/v1/images/{image_id}").content.startswith(b"\x89PNG")
    assert client_of(cast.charlie).get(f"/v1/images/{image_id}").status_code == 404
    again = resume(alice, events[0].data["turn_id"])
    assert f"/v1/images/{image_id}" in str(again)
    with tenant_scope(cast.alice.principal.tenant):
        assert "base64" not in str(Turn.objects.get().parts)
        assert Image.objects.count() == 1
    provider.script = Script()
    read_events(alice, "and now?", conversation_id=events[0].data["conversation_id"])
    assert provider.requests[-1]["messages"][-2]["content"] == "[A reply without text]"
