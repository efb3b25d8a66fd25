"""Failures of LibreChat become our errors, which quote it without secrets."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gateway.engines.librechat import client as client_module
from gateway.engines.librechat.client import LibreChatClient, Session, StreamGone, TokenRefused
from gateway.errors import EngineFailed, EngineUnavailable
from gateway.providers.sse import LONGEST_LINE
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from gateway.tests.replayed_librechat.browsers import is_browser
from gateway.tests.replayed_librechat.recorded import exchanges
from kit.errors import DomainError

CONVERSATION = uuid4()
HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json; charset=utf-8"}
RAW = "the engine's own words at http://10.1.2.3"
SESSION = Session(token="t1", refresh_cookie="r1", user_id="u1", role="USER")
GOOD = {"token": "t2", "user": {"_id": "u1", "role": "USER"}}

Call = Callable[[LibreChatClient], Awaitable[Any]]


async def stream(client: LibreChatClient) -> list[Any]:
    return [frame async for frame in client.stream("t1", CONVERSATION, resume=False)]


CALLS: dict[str, Call] = {
    "register": lambda client: client.register(name="Name", address="a@b.example", password="p" * 12),
    "login": lambda client: client.login(address="a@b.example", password="p" * 12),
    "refresh": lambda client: client.refresh(SESSION),
    "start": lambda client: client.start("t1", {}),
    "stream": stream,
    "abort": lambda client: client.abort("t1", CONVERSATION, 1),
    "status": lambda client: client.status("t1", CONVERSATION),
    "messages": lambda client: client.messages("t1", CONVERSATION),
    "rename": lambda client: client.rename("t1", CONVERSATION, "Title"),
    "delete": lambda client: client.delete("t1", CONVERSATION),
    "health": lambda client: client.health(),
}
EACH = pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedServer]:
    quick = httpx.Timeout(0.15)
    monkeypatch.setattr(client_module, "TIMEOUT", quick)
    monkeypatch.setattr(client_module, "STREAM_TIMEOUT", quick)
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
def client(server: ScriptedServer) -> LibreChatClient:
    return LibreChatClient(f"http://127.0.0.1:{server.port}/")


def answer(data: Any, status: int = 200, headers: dict[str, str] = JSON, **more: Any) -> Answer:
    text = data if isinstance(data, str) else json.dumps(data)
    return Answer([text.encode()], status=status, headers=headers, **more)


def check_silent(error: DomainError) -> None:
    received = str(error.as_dict())
    assert not any(word in received for word in ("10.1.2.3", "127.0.0.1", "t1", "Traceback"))


@EACH
@pytest.mark.parametrize("status", [502, 503, 504])
async def test_an_unavailable_server_is_reported_as_unavailable(
    client: LibreChatClient, server: ScriptedServer, call: Call, status: int
) -> None:
    server.answers = [answer(RAW, status, HTML)]
    with pytest.raises(EngineUnavailable) as caught:
        await call(client)
    check_silent(caught.value)


@EACH
@pytest.mark.parametrize(
    "wrong",
    [
        Answer(hangs_up=True),
        Answer([b'{"tok'], headers=JSON, breaks_off=True),
        Answer([b"data: "], breaks_off=True),
        Answer([b"x" * 40], headers={"Content-Encoding": "gzip"}),
        Answer(status=200, headers={"Transfer-Encoding": "nonsense, and: worse\r\n\0"}),
        answer(GOOD, delay=0.3),
    ],
    ids=["hangs up", "breaks off", "breaks off a stream", "no gzip", "no HTTP", "slow"],
)
async def test_a_failed_connection_is_reported_as_unavailable(
    client: LibreChatClient, server: ScriptedServer, call: Call, wrong: Answer
) -> None:
    server.answers = [wrong]
    with pytest.raises(EngineUnavailable) as caught:
        await call(client)
    check_silent(caught.value)


async def test_a_closed_port_is_reported_as_unavailable() -> None:
    for call in CALLS.values():
        with pytest.raises(EngineUnavailable) as caught:
            await call(LibreChatClient("http://127.0.0.1:1"))
        check_silent(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (answer('event: error\ndata: {"message":"Illegal request"}\n\n', 200, {}), "Illegal request"),
        (answer({"message": RAW}, 400), "the engine's own words at …"),
        (answer({"message": "no", "errors": [{"message": "Title is bad"}]}, 400), "no: Title is bad"),
        (answer({"error": '{"type": "illegal_model_request"}'}, 400), "illegal_model_request"),
        (answer({"error": {"message": "jwt eyJhbGciOiJIUzI1NiJ9.e30.x for t1"}}, 403), "jwt … for …"),
        (answer("x" * 30 + " and " + "long " * 200, 400, {"Content-Type": "text/plain"}), ""),
        (answer("<html>sk-12345</html>", 400, HTML), ""),
        (answer("Invalid refresh token", 403, HTML), "Invalid refresh token"),
    ],
)
async def test_a_refusal_quotes_librechat_without_secrets(
    client: LibreChatClient, server: ScriptedServer, wrong: Answer, said: str
) -> None:
    server.answers = [wrong]
    with pytest.raises(EngineFailed) as caught:
        await CALLS["start"](client)
    assert caught.value.details.get("engine_said", "") == said
    assert said in caught.value.text
    assert len(caught.value.text) < 400


@pytest.mark.parametrize("name", ["login", "start", "messages"])
@pytest.mark.parametrize(
    "wrong",
    [
        answer(RAW, 500, HTML),
        answer(RAW, 200, HTML),
        answer(RAW, 200, JSON),
        answer([[1]], 201),
        answer("[" * 3000),
        answer('event: error\ndata: {"message":"Illegal request"}\n\n', 200, {}),
    ],
    ids=["500", "page", "no JSON", "array", "nested", "illegal request"],
)
async def test_an_invalid_response_becomes_an_engine_error(
    client: LibreChatClient, server: ScriptedServer, name: str, wrong: Answer
) -> None:
    server.answers = [wrong]
    with pytest.raises((EngineFailed, EngineUnavailable)) as caught:
        await CALLS[name](client)
    check_silent(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"token": 1, "user": {}}, {"token": "t", "user": []}, {"token": None, "user": {"id": "u"}}, []],
)
async def test_an_invalid_sign_in_response_is_an_engine_failure(
    client: LibreChatClient, server: ScriptedServer, wrong: Any
) -> None:
    server.answers = [answer(wrong)]
    with pytest.raises(EngineFailed):
        await CALLS["login"](client)


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
async def test_a_refused_registration_is_an_engine_failure(
    client: LibreChatClient, server: ScriptedServer, status: int
) -> None:
    server.answers = [answer({"message": RAW}, status)]
    with pytest.raises(EngineFailed) as caught:
        await CALLS["register"](client)
    check_silent(caught.value)


async def test_a_refusal_of_another_account_starts_no_turn(
    client: LibreChatClient, server: ScriptedServer
) -> None:
    """It has status 200, and a stream instead of the JSON."""
    (exchange,) = exchanges("chat_foreign_account_posts")
    server.answers = [answer(exchange["response"]["body"], headers=exchange["response"]["headers"])]
    with pytest.raises(EngineFailed) as caught:
        await CALLS["start"](client)
    check_silent(caught.value)


@pytest.mark.parametrize("name", ["start", "stream", "abort", "status", "messages", "rename", "delete"])
async def test_a_refused_token_raises_token_refused(
    client: LibreChatClient, server: ScriptedServer, name: str
) -> None:
    server.answers = [answer({"message": "jwt expired"}, 401)]
    with pytest.raises(TokenRefused):
        await CALLS[name](client)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_an_unknown_account_raises_token_refused(
    client: LibreChatClient, server: ScriptedServer, status: int
) -> None:
    server.answers = [answer({"message": "Email does not exist."}, status)]
    with pytest.raises(TokenRefused):
        await CALLS["login"](client)


@pytest.mark.parametrize(
    "refusal",
    [answer("Refresh token not provided", 200, HTML), answer("Invalid refresh token", 403, HTML), answer({})],
)
async def test_an_expired_cookie_raises_token_refused(
    client: LibreChatClient, server: ScriptedServer, refusal: Answer
) -> None:
    server.answers = [refusal]
    with pytest.raises(TokenRefused):
        await CALLS["refresh"](client)


async def test_a_404_is_not_a_failure(client: LibreChatClient, server: ScriptedServer) -> None:
    server.answers = [answer({"error": RAW}, 404)]
    assert await CALLS["messages"](client) == []
    assert await CALLS["status"](client) == {}
    assert await CALLS["abort"](client) is None
    assert await CALLS["rename"](client) is None
    assert await CALLS["delete"](client) is None
    assert await CALLS["health"](client) is None
    with pytest.raises(StreamGone):
        await CALLS["stream"](client)


async def test_a_500_for_a_deletion_is_believed_only_with_messages_left(
    client: LibreChatClient, server: ScriptedServer
) -> None:
    refused = answer("Error clearing conversations", 500, HTML)
    server.answers = [refused, answer({"error": "Conversation not found"}, 404)]
    assert await CALLS["delete"](client) is None
    server.answers = [refused, answer([{"messageId": "m"}])]
    with pytest.raises(EngineUnavailable):
        await CALLS["delete"](client)


@pytest.mark.parametrize("name", ["abort", "status", "messages", "rename", "stream", "health"])
async def test_a_500_is_a_failure(client: LibreChatClient, server: ScriptedServer, name: str) -> None:
    server.answers = [answer(RAW, 500, HTML)]
    with pytest.raises(EngineUnavailable) as caught:
        await CALLS[name](client)
    check_silent(caught.value)


async def test_a_broken_stream_yields_the_frames_before_the_break(
    client: LibreChatClient, server: ScriptedServer
) -> None:
    server.answers = [Answer([b'data: {"a":', b' 1}\n\ndata: {"b"'], breaks_off=True)]
    seen = []
    with pytest.raises(EngineUnavailable):  # noqa: PT012
        async for frame in client.stream("t1", CONVERSATION, resume=True):
            seen.append(frame.data)
    assert seen == ['{"a": 1}']
    assert server.requests[0].path == f"/api/agents/chat/stream/{CONVERSATION}?resume=true"


async def test_an_endless_line_ends_the_stream(client: LibreChatClient, server: ScriptedServer) -> None:
    server.answers = [Answer([b"data: " + b"x" * (LONGEST_LINE + 1)])]
    with pytest.raises(EngineUnavailable):
        await stream(client)


async def test_leaving_a_stream_closes_its_socket(client: LibreChatClient, server: ScriptedServer) -> None:
    server.answers = [Answer([b"data: 1\n\n", 30.0])]
    frames = client.stream("t1", CONVERSATION, resume=False)
    assert (await anext(frames)).data == "1"
    await frames.aclose()
    await server.client_left()


async def test_every_call_has_a_browsers_user_agent_and_only_its_own_token(
    server: ScriptedServer,
) -> None:
    """By a host name too: clients store cookies of a name, but not those of an IP address."""
    cookies = {**JSON, "Set-Cookie": "refreshToken=r2; Path=/; HttpOnly"}
    client = LibreChatClient(f"http://localhost:{server.port}")
    server.answers = [answer(GOOD, headers=cookies)]
    assert (await client.login(address="b@b.example", password="p")).refresh_cookie == "r2"
    await client.status("t9", CONVERSATION)
    await client.refresh(SESSION)
    login, status, refresh = [request.headers for request in server.requests]
    assert all(is_browser(headers["user-agent"]) for headers in (login, status, refresh))
    assert status["authorization"] == "Bearer t9"
    assert not {"authorization", "cookie"} & login.keys() | {"cookie"} & status.keys()
    assert refresh["cookie"] == "refreshToken=r1; token_provider=librechat"


OF_A_CONVERSATION = ["start", "stream", "abort", "status", "messages", "rename", "delete"]


@pytest.mark.parametrize("name", list(CALLS))
async def test_only_calls_about_a_conversation_name_it_in_a_header(
    client: LibreChatClient, server: ScriptedServer, name: str
) -> None:
    """By which a proxy sends all calls of a conversation to the same replica."""
    server.answers = [answer({**GOOD, "streamId": "s"}, 200), answer([])]
    call = (
        (lambda c: c.start("t1", {"conversationId": str(CONVERSATION)})) if name == "start" else CALLS[name]
    )
    with suppress(DomainError, StreamGone):
        await call(client)
    expected = str(CONVERSATION) if name in OF_A_CONVERSATION else None
    assert server.requests[0].headers.get("x-conversation") == expected


async def test_a_refresh_without_a_new_cookie_keeps_the_old_one(
    client: LibreChatClient, server: ScriptedServer
) -> None:
    server.answers = [answer({"token": "t2", "user": {}})]
    assert await client.refresh(SESSION) == Session("t2", "r1", "u1", "")


def test_the_repr_of_a_session_hides_its_token_and_cookie() -> None:
    assert "t1" not in repr(SESSION)
    assert "r1" not in repr(SESSION)
