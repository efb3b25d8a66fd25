"""The application: records each request, authenticates it and passes it to its route."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import fields

from gateway.tests.replayed_librechat.accounts import Account, Accounts, AuthError
from gateway.tests.replayed_librechat.answers import (
    Json,
    Receive,
    Send,
    answer,
    answer_json,
    answer_text,
    frame,
    read,
)
from gateway.tests.replayed_librechat.browsers import is_browser
from gateway.tests.replayed_librechat.chat import Chat
from gateway.tests.replayed_librechat.conversations import Conversations
from gateway.tests.replayed_librechat.knobs import Call, Knobs
from gateway.tests.replayed_librechat.request import Request
from gateway.tests.replayed_librechat.servers import Servers
from gateway.tests.replayed_librechat.sign_in_routes import answer_sign_in
from gateway.tests.replayed_librechat.stored_routes import answer_stored


class ReplayedLibreChat(Knobs):
    """An ASGI application; tests change its knobs from their own thread while another serves it."""

    def __init__(self, egress_url: str | None = None, secret: str = "") -> None:
        super().__init__(egress_url=egress_url, secret=secret)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin()

    def reset(self) -> None:
        """Removes all accounts and resets the knobs, except egress_url and secret."""
        self._on_loop(self._reset)

    def lose_generation(self) -> None:
        """Drops running generations like a restart: streams end abruptly and are unknown afterwards."""
        self._on_loop(self.chat.lose)

    def expire_tokens(self) -> None:
        """Every token so far gets a 401; refresh cookies stay valid."""
        self.accounts.expire_tokens()

    def expire_refresh(self) -> None:
        """Every refresh cookie so far is refused; tokens stay valid."""
        self.accounts.expire_refresh()

    async def __call__(self, scope: Json, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self._loop = asyncio.get_running_loop()
        request = Request(scope, await read(receive))
        try:
            account, refusal = self.accounts.authenticate(request.headers.get("authorization", "")), ""
        except AuthError as exc:
            account, refusal = None, str(exc)
        user_id = account.id if account else None
        pinned = request.headers.get("x-conversation", "")
        arrived = (request.method, request.full_path, user_id, request.body, pinned, request.replica)
        self.requests.append(Call(*arrived))
        if self.down:
            await answer_text(send, 503, "Service Unavailable")
        elif await answer_sign_in(self.accounts, request, send):
            return
        elif account is None:
            await answer_json(send, 401, {"message": refusal})
        else:
            await self._answer(request, account, receive, send)

    async def _answer(self, request: Request, account: Account, receive: Receive, send: Send) -> None:
        if request.route == ("GET", "api", "user"):
            await answer_json(send, 200, account.as_user())
        elif not is_browser(request.headers.get("user-agent", "")):
            await answer(send, 200, frame("error", {"message": "Illegal request"}))
        elif await self.servers.answer(request, account, send):
            return
        elif not await self.chat.answer(request, account, receive, send):
            await answer_stored(self, self.conversations, request, account, send)

    def _reset(self) -> None:
        self.chat.lose()
        fresh = Knobs(egress_url=self.egress_url, secret=self.secret)
        for knob in fields(Knobs):
            setattr(self, knob.name, getattr(fresh, knob.name))
        self._begin()

    def _begin(self) -> None:
        self.accounts = Accounts()
        self.conversations = Conversations()
        self.servers = Servers(self)
        self.chat = Chat(self, self.conversations, self.servers)

    def _on_loop(self, work: Callable[[], None]) -> None:
        """Runs `work` in the server's loop and waits: tasks and events belong to that thread."""
        loop = self._loop
        if loop is None or not loop.is_running() or loop is _current_loop():
            work()
            return
        done = threading.Event()
        loop.call_soon_threadsafe(work)
        loop.call_soon_threadsafe(done.set)
        assert done.wait(5), "the server's loop is busy"


def _current_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
