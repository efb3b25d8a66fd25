"""A model gets the same images on every engine, and no engine ever stores them."""

from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.conversations.tests.test_images import attach, shown
from gateway.tests.conformance.engines import EngineUnderTest
from gateway.tests.events import send
from gateway.tests.pictures import picture
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.tool_setup import MODEL

pytestmark = [pytest.mark.conformance, pytest.mark.slow]


def test_images_are_sent_now_in_later_turns_and_when_regenerating(
    tested: EngineUnderTest, calculator: RealMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    model = f"/v1/workspaces/sales/models/{MODEL}"
    assert client_of(cast.alice).patch(model, json={"abilities": ["images", "tools"]}).is_success
    bob = client_of(cast.bob)
    first = send(bob, "look", model=MODEL, images=[attach(bob), attach(bob, picture("JPEG"))]).json()
    both = ["data:image/png", "data:image/jpeg"]
    assert shown(provider.requests[-1])[-1:] == [both]
    here = {"conversation_id": first["conversation_id"]}
    send(bob, "and this?", model=MODEL, images=[attach(bob)], **here)
    assert [images for images in shown(provider.requests[-1]) if images] == [both, ["data:image/png"]]
    send(bob, "thanks", model="local", **here)
    assert "image_url" not in str(provider.requests[-1]["messages"])
    assert "which this model cannot see" in str(provider.requests[-1]["messages"])
    again = {"replaces": first["turn_id"], "message": None}
    bob.post("/v1/chat/send", json={"model": MODEL, **here, **again})
    assert [images for images in shown(provider.requests[-1]) if images] == [both]
    if tested.replay is not None:
        seen = str([call.body for call in tested.replay.requests])
        assert "base64" not in seen
        assert "image" not in str(tested.replay.conversations.by_id)
