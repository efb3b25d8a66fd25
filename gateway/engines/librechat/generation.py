"""One turn's generation at LibreChat: started with our ids, followed across broken sockets, taken over."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar
from uuid import UUID

from gateway.engines.base import Question, TurnJob
from gateway.engines.librechat.accounts import Accounts
from gateway.engines.librechat.branches import START, chat_body, choose_parent, message_ids
from gateway.engines.librechat.client import StreamGone, TokenRefused
from gateway.engines.librechat.registrations import KnownServer
from gateway.engines.librechat.servers import known_servers, register_servers
from gateway.engines.librechat.stream_parser import Failure, ReplyReader, StreamItem
from gateway.errors import EngineFailed, EngineUnavailable
from gateway.providers.base import Finish, JsonObject
from gateway.providers.sse import Frame
from kit.tenancy import in_public
from quotas.holds import has_calls
from workspaces.mcp_servers.queries import ServerRef

T = TypeVar("T")
MOST_BREAKS = 8  # of the stream, in a row without a frame in between
FIRST_PAUSE = 0.1  # seconds after the first break, doubled with each
STORED_SECONDS = 3.0  # that LibreChat may take to store a reply after the end of its stream
POLL_SECONDS = 0.1
ATTEMPTS = 3  # of a call that may be repeated


class Generation:
    """Follows one turn. EngineUnavailable while LibreChat is away for long, EngineFailed when it refuses."""

    def __init__(self, job: TurnJob, accounts: Accounts) -> None:
        if job.conversation_id is None or job.engine_account_id is None or job.question is None:
            raise EngineFailed("LibreChat runs the turns of its own conversations only.")
        self.job = job
        self.question: Question = job.question
        self.conversation_id: UUID = job.conversation_id
        self.account_id: UUID = job.engine_account_id
        self.accounts = accounts
        self.client = accounts.client
        self.reader = ReplyReader(job.turn_id, job.reply_so_far)
        self.created_at: Any = None  # when it began; an abort must name it

    async def events(self) -> AsyncGenerator[StreamItem, None]:
        """Each item once; ends after a Finish or a Failure."""
        self._know(await known_servers(self.job, self.account_id) if self.job.servers else {})
        if not self.job.is_takeover:
            await self._begin()
        elif not await self._runs() and not await in_public(has_calls, self.job.turn_id):
            await self._begin()  # the process that admitted the turn died before starting it
        try:
            async with aclosing(self._follow()) as items:
                async for item in items:
                    if isinstance(item, Failure) and item.is_stored:
                        raise StreamGone
                    yield item
        except StreamGone:
            for item in await self._read_stored():
                yield item

    async def abort(self) -> None:
        """Stops it, unless it has ended or another generation is running in the conversation by now."""
        if await self._runs():
            await self._call(self.client.abort, self.conversation_id, self.created_at)

    async def _begin(self) -> None:
        """Starts it; a repeated start is the same generation, by its request id."""
        parent, knows_question = await self._position()
        servers = await register_servers(self.job, self.accounts, self.account_id) if self.job.servers else {}
        self._know(servers)
        body = chat_body(self.job, self.question, parent, knows_question=knows_question, servers=servers)
        await self._insist(self.client.start, body)

    def _know(self, servers: dict[str, ServerRef]) -> None:
        """Notes the names of servers and tools that its stream will use."""
        self.reader.servers.update({name: KnownServer.of(server) for name, server in servers.items()})

    async def _position(self) -> tuple[UUID, bool]:
        """The parent of the question, and whether LibreChat already has the question.

        LibreChat stores a reply a moment after its stream ended, and never one that failed early: so a turn
        that follows another checks first.
        """
        ancestors = self.job.ancestors
        if not ancestors and not self.question.is_asked_again:
            return START, False
        until = _now() + STORED_SECONDS
        known = message_ids(await self._insist(self.client.messages, self.conversation_id))
        while ancestors and ancestors[0] not in known and _now() < until:
            await asyncio.sleep(POLL_SECONDS)
            known = message_ids(await self._insist(self.client.messages, self.conversation_id))
        asked_again = self.question.is_asked_again and self.question.id in known
        return choose_parent(ancestors, known), asked_again

    async def _runs(self) -> bool:
        status = await self._insist(self.client.status, self.conversation_id)
        state = status.get("resumeState")
        reply = state.get("responseMessageId") if isinstance(state, dict) else None
        if not status.get("active") or reply not in (None, str(self.job.turn_id)):
            return False
        self.created_at = status.get("createdAt")
        return True

    async def _follow(self) -> AsyncGenerator[StreamItem, None]:
        """Reads the stream, and resumes it when the socket breaks. StreamGone when it has ended."""
        breaks, resume = 0, self.job.is_takeover
        while True:
            try:
                async with aclosing(self._frames(resume=resume)) as frames:
                    async for frame in frames:
                        breaks = 0
                        for item in self.reader.read(frame):
                            yield item
                            if isinstance(item, Finish | Failure):
                                return
                if breaks >= MOST_BREAKS:
                    raise EngineUnavailable("LibreChat's streams end before the reply does.")
            except EngineUnavailable:
                if breaks >= MOST_BREAKS:
                    raise
            breaks, resume = breaks + 1, True
            await asyncio.sleep(FIRST_PAUSE * 2 ** min(breaks - 1, 6))

    async def _frames(self, *, resume: bool) -> AsyncGenerator[Frame, None]:
        """The frames of one socket."""
        session = await self.accounts.session(self.account_id)
        try:
            stream = self.client.stream(session.token, self.conversation_id, resume=resume)
            async with aclosing(stream) as frames:
                async for frame in frames:
                    yield frame
        except TokenRefused as exc:
            await self.accounts.session(self.account_id, refused=session)
            raise EngineUnavailable("LibreChat refused the token.") from exc

    async def _read_stored(self) -> list[StreamItem]:
        """After the stream ended or was lost: reads the rest from the stored reply, once that exists."""
        until = _now() + STORED_SECONDS
        while True:
            rows = await self._insist(self.client.messages, self.conversation_id)
            found = next((row for row in rows if _is_reply(row, self.job.turn_id)), None)
            if found is not None:
                return list(self.reader.read_stored(found))
            if _now() > until:
                if not await self._runs():
                    return [Failure("LibreChat lost the reply.", never_began=True)]
                until = _now() + STORED_SECONDS  # another replica is still writing it, and will store it
            await asyncio.sleep(POLL_SECONDS)

    async def _insist(self, method: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Repeats a call that may be repeated while LibreChat is unavailable for a moment."""
        for attempt in range(ATTEMPTS - 1):
            try:
                return await self._call(method, *args)
            except EngineUnavailable:
                await asyncio.sleep(FIRST_PAUSE * 4**attempt)
        return await self._call(method, *args)

    async def _call(self, method: Callable[..., Awaitable[T]], *args: Any) -> T:
        return await self.accounts.call(self.account_id, lambda token: method(token, *args))


def _is_reply(row: JsonObject, turn_id: UUID) -> bool:
    return row.get("messageId") == str(turn_id)


def _now() -> float:
    return asyncio.get_running_loop().time()
