"""Listing, renaming and deleting conversations, each within its own account."""

import uuid

from gateway.tests.replayed_librechat.identity import NO_PARENT
from gateway.tests.replayed_librechat.tests.conftest import SignIn
from gateway.tests.replayed_librechat.tests.engine_client import EngineClient


async def test_conversations_are_paged_newest_first(alice: EngineClient, sign_in: SignIn) -> None:
    started = []
    for number in range(3):
        alice.conversation, alice.parent = str(uuid.uuid4()), NO_PARENT
        await alice.turn(f"conversation {number}")
        started.append(alice.conversation)
    first = (await alice.http.get("/api/convos", params={"limit": 2})).json()
    after = {"limit": 2, "cursor": first["nextCursor"]}
    second = (await alice.http.get("/api/convos", params=after)).json()
    listed = [item["conversationId"] for item in first["conversations"] + second["conversations"]]
    assert listed == started[::-1]
    assert second["nextCursor"] is None
    bob = await sign_in("Bob")
    assert (await bob.http.get("/api/convos")).json() == {"conversations": [], "nextCursor": None}


async def test_only_the_owner_renames(alice: EngineClient, sign_in: SignIn) -> None:
    await alice.turn("Hello")
    renaming = {"arg": {"conversationId": alice.conversation, "title": "Renamed"}}
    bob = await sign_in("Bob")
    assert (await bob.http.post("/api/convos/update", json=renaming)).status_code == 500
    assert (await alice.http.post("/api/convos/update", json=renaming)).status_code == 201
    shown = await alice.http.get(f"/api/convos/{alice.conversation}")
    assert shown.json()["title"] == "Renamed"


async def test_a_deleted_conversation_is_gone(alice: EngineClient) -> None:
    await alice.turn("Hello")
    meant = {"arg": {"conversationId": alice.conversation}}
    assert (await alice.http.request("DELETE", "/api/convos", json=meant)).status_code == 201
    assert (await alice.http.get(f"/api/convos/{alice.conversation}")).status_code == 404
    assert (await alice.http.request("DELETE", "/api/convos", json=meant)).status_code == 500


async def test_the_catalogue_lists_what_is_configured(alice: EngineClient) -> None:
    endpoints = await alice.http.get("/api/endpoints")
    assert endpoints.headers["content-type"] == "text/html; charset=utf-8"  # as recorded, although it is JSON
    assert endpoints.json()["Routed"]["type"] == "custom"
    assert (await alice.http.get("/api/models")).json()["Routed"] == ["routed"]
