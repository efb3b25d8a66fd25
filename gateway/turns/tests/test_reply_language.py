"""A person's reply language is sent to the model by every kind of request."""

from typing import Any

from accounts.models import User
from accounts.tests.cast import Cast
from gateway.models import Turn
from gateway.tests.events import send
from gateway.tests.scripted_provider import ScriptedProvider
from kit.tenancy import tenant_scope

TOLD = {"role": "system", "content": "Reply in German unless you are asked for another language."}


def test_the_reply_language_is_the_first_message_of_every_turn(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.bob)
    assert client.patch("/v1/me", json={"reply_language": "de"}).json()["reply_language"] == "de"
    first = send(client, "Hello").json()
    send(client, "And now?", conversation_id=first["conversation_id"])
    for request in provider.requests:
        assert request["messages"][0] == TOLD
        assert [message["role"] for message in request["messages"]].count("system") == 1
    with tenant_scope(cast.bob.principal.tenant):
        assert Turn.objects.latest("created_at").parameters["instructions"] == TOLD["content"]


def test_without_a_reply_language_nothing_is_added(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    send(client_of(cast.bob), "Hello")
    assert provider.requests[-1]["messages"] == [{"role": "user", "content": "Hello"}]


def test_a_language_that_is_none_is_refused(client_of: Any, cast: Cast) -> None:
    for wrong in ("klingon", 7, ["de"], None):
        assert client_of(cast.bob).patch("/v1/me", json={"reply_language": wrong}).status_code == 422
    assert User.objects.get(id=cast.bob.principal.user_id).reply_language == ""


def test_me_returns_the_person_and_their_teams(client_of: Any, cast: Cast) -> None:
    received = client_of(cast.bob).get("/v1/me").json()
    assert (received["email"], received["teams"]) == (
        "bob@example.com",
        [{"id": "acme", "name": "Acme", "role": "member"}],
    )
