"""Tries what we rely on LibreChat for, from the first connection to the usage of a call that came back to us.

The trial's generation runs as the operator's account; our egress knows it, answers it by itself for nobody's
money, and holds the reply open until the trial has seen it run.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from uuid import UUID, uuid5

import httpx
from django.conf import settings

from accounts.engine_checks import CheckRef, find_check, let_end, open_check
from gateway.engines.base import Event, Finished
from gateway.engines.librechat import mends
from gateway.engines.librechat.accounts import ENGINE, Accounts
from gateway.engines.librechat.branches import START, start_body
from gateway.engines.librechat.client import (
    LibreChatClient,
    Session,
    StreamGone,
    TokenRefused,
)
from gateway.engines.librechat.outcome import status_in
from gateway.engines.librechat.reading import Failure, Reading
from gateway.engines.steps import FAILED, OK, Step
from gateway.providers.base import JsonObject
from gateway.providers.http import client as http_client
from kit.errors import DomainError
from kit.secrets import SecretUnreadable
from kit.tenancy import in_public

STEPS = ("reachable", "login", "starts", "routing", "again", "ids", "usage", "tools")
ROUTE_SECONDS = 30.0  # for the model call to arrive: LibreChat may be trying somewhere else for minutes
END_SECONDS = 30.0  # for the reply to be told, once its call has arrived
POLL_SECONDS = 0.1
STORED_TRIES = 50
HEADERS = ("x-message", "x-conversation", "x-engine-user")
NO_ENDPOINT = {"endpoint_models_not_loaded", "illegal_model_request"}


async def check_librechat() -> AsyncGenerator[Step, None]:
    """One step after another, until one fails."""
    accounts = Accounts(LibreChatClient(settings.LIBRECHAT_URL))
    try:
        await accounts.client.health()
    except DomainError:
        yield mends.unreachable()
        return
    yield Step("reachable", OK, f"LibreChat answers at {settings.LIBRECHAT_URL}.")
    try:
        session = await accounts.operator()
    except SecretUnreadable:
        yield mends.unreadable_password()
        return
    except DomainError as exc:
        yield mends.no_login(exc.text)
        return
    if session.role == "ADMIN":
        yield Step("login", OK, "The operator's account signs in, and is LibreChat's admin.")
    else:
        yield mends.no_admin()
    trial = Trial(accounts.client, session, await in_public(open_check, engine=ENGINE))
    try:
        async with aclosing(trial.steps()) as steps:
            async for step in steps:
                yield step
    finally:
        await trial.clear_away()


class Trial:
    """One generation with our own ids, as the operator's account."""

    def __init__(self, client: LibreChatClient, session: Session, check: CheckRef) -> None:
        self.client = client
        self.token = session.token
        self.check = check
        self.reading = Reading(check.id)
        self.created_at: object = None
        self._server = ""  # that it has registered
        self._end: asyncio.Task[Finished | Failure] | None = None

    async def steps(self) -> AsyncGenerator[Step, None]:
        try:
            problem = await self._start()
        except (DomainError, TokenRefused):
            problem = "LibreChat does not start a generation."
        if problem:
            yield mends.bad_start(problem)
            return
        yield Step("starts", OK, "LibreChat starts a generation with our ids, and says when it began.")
        for part in (self._routing, self._again, self._reply, self._usage, self._tools):
            step = await part()
            yield step
            if step.state == FAILED:
                return

    async def clear_away(self) -> None:
        """Nothing of the trial stays at LibreChat."""
        await in_public(let_end, self.check.id)
        if self._end is not None:
            self._end.cancel()
        with suppress(DomainError, TokenRefused):
            status = await self.client.status(self.token, self.check.conversation_id)
            if status.get("active"):
                await self.client.abort(self.token, self.check.conversation_id, self.created_at)
            await self.client.delete(self.token, self.check.conversation_id)
        if self._server:
            with suppress(DomainError, TokenRefused):
                await self.client.remove_server(self.token, self._server)

    async def _start(self) -> str:
        """What is wrong with how it starts; empty where nothing is."""
        first = await self.client.start(self.token, self._body())
        self.created_at = first.get("generationCreatedAt")
        self._end = asyncio.create_task(self._follow())
        if first.get("conversationId") != str(self.check.conversation_id):
            return "LibreChat gives the conversation another id than ours."
        if self.created_at is None:
            return "LibreChat does not say when a generation began, so none could be stopped safely."
        return ""

    async def _routing(self) -> Step:
        """Whether the model call comes to our egress as it should, which then holds its reply open."""
        end = self._following
        seen = await self._seen(end)
        if seen is None:
            return await self._not_routed(end)
        if missing := [name for name in HEADERS if name not in seen.fitting]:
            return mends.wrong_headers(missing)
        return Step("routing", OK, "The model call comes to our egress, with our ids in its headers.")

    async def _again(self) -> Step:
        """Asked only now: a generation that fails at once would be over, and rightly begin anew."""
        told: JsonObject = {}
        with suppress(DomainError, TokenRefused):
            told = await self.client.start(self.token, self._body())
        await in_public(let_end, self.check.id)
        if (told.get("status"), told.get("generationCreatedAt")) != ("resumed", self.created_at):
            return mends.bad_again()
        return Step("again", OK, "The same start again is `resumed`: no turn is run twice.")

    async def _reply(self) -> Step:
        try:
            async with asyncio.timeout(END_SECONDS):
                told = await asyncio.shield(self._following)
        except TimeoutError:
            return mends.no_reply()
        if isinstance(told, Failure):
            return mends.no_reply()
        with suppress(DomainError, TokenRefused):
            if await self._is_stored():
                return Step("ids", OK, "The reply comes back, and is kept under the id that we chose.")
        return mends.not_stored()

    @property
    def _following(self) -> asyncio.Task[Finished | Failure]:
        if self._end is None:
            raise RuntimeError("A generation is followed from its start.")
        return self._end

    async def _seen(self, end: asyncio.Task[Finished | Failure]) -> CheckRef | None:
        """The check once its call has arrived; None when it ended before, or nothing came for long."""
        until = asyncio.get_running_loop().time() + ROUTE_SECONDS
        while True:
            has_ended = end.done()
            check = await in_public(find_check, self.check.id)
            if check is not None and check.calls:
                return check
            if has_ended or asyncio.get_running_loop().time() > until:
                return None
            await asyncio.wait({end}, timeout=POLL_SECONDS)

    async def _not_routed(self, end: asyncio.Task[Finished | Failure]) -> Step:
        told = end.result() if end.done() else None
        if isinstance(told, Failure):
            if told.text in NO_ENDPOINT:
                return mends.no_endpoint()
            if told.never_began:
                return mends.broken_off()
            answers = await _egress_answers()
            return mends.not_routed(status_in(told.text), egress_answers=answers)
        return mends.not_routed(None, egress_answers=await _egress_answers())

    async def _is_stored(self) -> bool:
        for _ in range(STORED_TRIES):
            rows = await self.client.messages(self.token, self.check.conversation_id)
            if any(row.get("messageId") == str(self.check.id) for row in rows):
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _usage(self) -> Step:
        if not any(self.reading.usage):
            return mends.no_usage()
        check = await in_public(find_check, self.check.id)
        if check is not None and check.calls > 1:
            return mends.odd_usage(check.calls)
        return Step("usage", OK, "LibreChat tells the usage of each model call.")

    async def _tools(self) -> Step:
        """Whether it reaches MCP servers at our egress, and takes what it is told of their tools."""
        config = {
            "type": "streamable-http",
            "url": f"{settings.EGRESS_URL.rstrip('/')}/mcp-check/{self.check.id.hex}",
            "title": f"check-{self.check.id.hex[:6]}",
            "description": "An engine check",
            "headers": {"Authorization": f"Bearer {settings.EGRESS_SECRETS[0]}"},
        }
        try:
            self._server = await self.client.add_server(self.token, config)
            is_there = self._server in await self.client.servers(self.token)
        except (DomainError, TokenRefused) as exc:
            status = exc.details.get("status") if isinstance(exc, DomainError) else None
            return mends.no_tools(status)
        if not is_there:
            return mends.no_tools(None)
        return Step("tools", OK, "LibreChat reaches MCP servers at our egress.")

    async def _follow(self) -> Finished | Failure:
        """Reads the generation to its end, whatever that is."""
        try:
            stream = self.client.stream(self.token, self.check.conversation_id, resume=False)
            async with aclosing(stream) as frames:
                async for frame in frames:
                    for item in self.reading.read(frame):
                        if not isinstance(item, Event):
                            return item
        except (DomainError, TokenRefused, StreamGone) as exc:
            return Failure(type(exc).__name__, never_began=True)
        return Failure("the stream ended", never_began=True)

    def _body(self) -> JsonObject:
        body = start_body(
            "Are you there?",
            conversation_id=self.check.conversation_id,
            reply_id=self.check.id,
            parent=START,
            max_tokens=16,
        )
        return {**body, "overrideUserMessageId": f"{_question_id(self.check.id)}__0"}


def _question_id(check_id: UUID) -> UUID:
    """Another id than the reply's, and always the same: a repeated start is to be the very same."""
    return uuid5(check_id, "question")


async def _egress_answers() -> bool:
    """Whether an egress answers where LibreChat should look for it, as far as we can see it from here."""
    try:
        response = await http_client().get(f"{settings.EGRESS_URL.rstrip('/')}/healthz", timeout=5)
    except httpx.HTTPError:
        return False
    return response.status_code == httpx.codes.OK
