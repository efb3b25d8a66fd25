"""Registering, signing in, and the responses without a valid token."""

from typing import Any

from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.replayed_librechat.recorded import exchanges
from gateway.tests.replayed_librechat.tests.conftest import SignIn
from gateway.tests.replayed_librechat.tests.engine_client import EngineClient

RECORDED = exchanges("auth")


async def test_signing_in_is_answered_as_recorded(sign_in: SignIn) -> None:
    client = await sign_in("Somebody else")
    token = ""
    for exchange in RECORDED:
        request, recorded = exchange["request"], exchange["response"]
        match recorded["body"]:
            case {"message": "No auth token"}:
                del client.http.headers["Authorization"]
            case {"message": "jwt malformed"}:
                client.use("nonsense")
            case _ if "Authorization" in request.get("headers", {}):
                client.use(token)
        named = {key: value for key, value in request.get("headers", {}).items() if key == "User-Agent"}
        answer = await client.http.request(
            request["method"], request["path"], json=request.get("body"), headers=named
        )
        assert answer.status_code == recorded["status"], request
        assert answer.headers.get("content-type") == recorded["headers"].get("content-type")
        assert _same(answer, recorded["body"]), request
        if "token" in recorded["body"]:
            token = answer.json()["token"]


def _same(answer: Any, recorded: Any) -> bool:
    """The exact text of a refusal; the same keys of a user."""
    if isinstance(recorded, str):
        return bool(answer.text == recorded)
    body = answer.json()
    if "message" in recorded:
        return bool(body == recorded)
    inner = set(body.get("user", {})) == set(recorded.get("user", {}))
    return inner and set(body) == set(recorded)


async def test_the_first_account_becomes_the_administrator(sign_in: SignIn) -> None:
    operator, alice = await sign_in("Operator"), await sign_in("Alice")
    assert (operator.user["role"], alice.user["role"]) == ("ADMIN", "USER")
    assert operator.user["_id"] == operator.user["id"] != alice.user["id"]


async def test_registering_again_changes_nothing(alice: EngineClient) -> None:
    again = {"name": "Eve", "email": "alice@acme.example", "password": "another-pass"}
    answer = await alice.http.post("/api/auth/register", json=again | {"confirm_password": "another-pass"})
    assert answer.status_code == 200
    await alice.sign_in()
    assert alice.user["name"] == "Alice"


async def test_an_expired_token_is_refused_until_the_cookie_renews_it(
    librechat: ReplayedLibreChat, alice: EngineClient
) -> None:
    librechat.expire_tokens()
    refused = await alice.http.get("/api/convos")
    assert (refused.status_code, refused.json()) == (401, {"message": "jwt expired"})
    renewed = await alice.http.post("/api/auth/refresh")
    alice.use(renewed.json()["token"])
    assert (await alice.http.get("/api/convos")).status_code == 200


async def test_after_an_expired_cookie_only_signing_in_works(
    librechat: ReplayedLibreChat, alice: EngineClient
) -> None:
    librechat.expire_tokens()
    librechat.expire_refresh()
    assert (await alice.http.post("/api/auth/refresh")).status_code == 403
    await alice.sign_in()
    assert (await alice.http.get("/api/user")).json()["id"] == alice.user["id"]


async def test_refreshing_without_a_cookie_is_a_200_without_a_token(alice: EngineClient) -> None:
    alice.http.cookies.clear()
    answer = await alice.http.post("/api/auth/refresh")
    assert (answer.status_code, answer.text) == (200, "Refresh token not provided")


async def test_every_call_needs_a_browsers_user_agent(alice: EngineClient) -> None:
    for path in ("/api/convos", "/api/messages/x", "/api/models", "/api/agents/chat/stream/x"):
        answer = await alice.http.get(path, headers={"User-Agent": "python-httpx/0.28.1"})
        assert answer.status_code == 200
        assert answer.text == 'event: error\ndata: {"message":"Illegal request"}\n\n'
