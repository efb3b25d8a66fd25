"""Checks everything that we rely on LibreChat for, from the first connection to the usage of a model call.

The trial's generations run in the operator's account. Our egress recognises them and answers them itself,
without a provider and without cost. It holds the first reply open until the trial has seen it run. The second
one calls a tool of a server that the trial registers, through LibreChat and back.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from uuid import UUID, uuid5

from django.conf import settings

from accounts.engine_checks import TOOL_CALLED, TOOL_OFFERED, CheckRef, find_check, let_end, open_check
from gateway.engines.check_steps import FAILED, OK, Step
from gateway.engines.librechat import hints
from gateway.engines.librechat.accounts import ENGINE, Accounts
from gateway.engines.librechat.branches import START, start_body
from gateway.engines.librechat.client import (
    LibreChatClient,
    Session,
    StreamGone,
    TokenRefused,
)
from gateway.engines.librechat.egress_watch import egress_answers
from gateway.engines.librechat.outcome import status_in
from gateway.engines.librechat.servers import server_title
from gateway.engines.librechat.stream_parser import Failure, ReplyReader
from gateway.providers.base import Finish, JsonObject
from kit.errors import DomainError
from kit.secrets import SecretUnreadable
from kit.tenancy import in_public

STEPS = ("reachable", "login", "version", "starts", "routing", "again", "ids", "usage", "tools")
ROUTE_SECONDS = 30.0  # for the model call to arrive: LibreChat may be calling elsewhere for minutes
END_SECONDS = 30.0  # for the reply to end, once its call has arrived
POLL_SECONDS = 0.1
PROBE_SECONDS = 5.0  # for the egress to answer
STORED_TRIES = 50
HEADERS = ("x-message", "x-conversation", "x-engine-user")
NO_ENDPOINT = {"endpoint_models_not_loaded", "illegal_model_request"}


async def check_librechat() -> AsyncGenerator[Step, None]:
    """The steps in order, until one fails."""
    accounts = Accounts(LibreChatClient(settings.LIBRECHAT_URL))
    try:
        await accounts.client.health()
    except DomainError:
        yield hints.unreachable()
        return
    yield Step("reachable", OK, f"LibreChat answers at {settings.LIBRECHAT_URL}.")
    try:
        session = await accounts.operator()
    except SecretUnreadable:
        yield hints.unreadable_password()
        return
    except DomainError as exc:
        yield hints.no_login(exc.text)
        return
    if session.role == "ADMIN":
        yield Step("login", OK, "The operator's account can sign in and is LibreChat's admin.")
    else:
        yield hints.no_admin()
    yield await _version(accounts.client, session)
    trial = Trial(accounts.client, session, await in_public(open_check, engine=ENGINE))
    try:
        async with aclosing(trial.steps()) as steps:
            async for step in steps:
                yield step
    finally:
        await trial.clean_up()


async def _version(client: LibreChatClient, session: Session) -> Step:
    """LibreChat reports the commit that it was built from, if it knows it, but never its release number."""
    build = ""
    with suppress(DomainError, TokenRefused):
        build = await client.build(session.token)
    if build:
        return Step("version", OK, f"LibreChat was built from {build}.")
    text = "LibreChat does not say which version it is. Check the image tag or the checkout."
    return Step("version", OK, text)


class Trial:
    """Generations with our own ids, in the operator's account."""

    def __init__(self, client: LibreChatClient, session: Session, check: CheckRef) -> None:
        self.client = client
        self.token = session.token
        self.check = check
        self.reader = ReplyReader(check.id)
        self.created_at: object = None
        self._server = ""  # that it has registered
        self._tool_check: CheckRef | None = None  # of the generation that calls the server's tool
        self._end: asyncio.Task[Finish | Failure] | None = None

    async def steps(self) -> AsyncGenerator[Step, None]:
        try:
            problem = await self._start()
        except DomainError as exc:
            yield hints.no_start(exc)
            return
        except TokenRefused:
            problem = "LibreChat refuses a token that it has just issued."
        if problem:
            yield hints.bad_start(problem)
            return
        yield Step("starts", OK, "LibreChat starts a generation with our ids and reports its start time.")
        for part in (self._routing, self._again, self._reply, self._usage, self._tools):
            step = await part()
            yield step
            if step.state == FAILED:
                return

    async def clean_up(self) -> None:
        """Removes everything that the trial created at LibreChat."""
        await in_public(let_end, self.check.id)
        if self._end is not None:
            self._end.cancel()
        for check in (self.check, self._tool_check):
            if check is not None:
                with suppress(DomainError, TokenRefused):
                    await self._forget(check.conversation_id)
        if self._server:
            with suppress(DomainError, TokenRefused):
                await self.client.remove_server(self.token, self._server)

    async def _forget(self, conversation_id: UUID) -> None:
        status = await self.client.status(self.token, conversation_id)
        if status.get("active"):
            await self.client.abort(self.token, conversation_id, status.get("createdAt"))
        await self.client.delete(self.token, conversation_id)

    async def _start(self) -> str:
        """The problem with the start; empty if there is none."""
        first = await self.client.start(self.token, _body(self.check))
        self.created_at = first.get("generationCreatedAt")
        self._end = asyncio.create_task(self._follow(self.check, self.reader))
        if first.get("conversationId") != str(self.check.conversation_id):
            return "LibreChat does not use our conversation id."
        if self.created_at is None:
            return "LibreChat does not report when a generation began, so it could not be stopped safely."
        return ""

    async def _routing(self) -> Step:
        """Checks that the model call reaches our egress, which then holds its reply open."""
        end = self._following
        seen = await self._seen(end)
        if seen is None:
            return await self._not_routed(end)
        if missing := [name for name in HEADERS if name not in seen.fitting]:
            return hints.wrong_headers(missing)
        return Step("routing", OK, "The model call reaches our egress with our ids in its headers.")

    async def _again(self) -> Step:
        """Runs only now: a generation that failed immediately would rightly start again."""
        answer: JsonObject = {}
        with suppress(DomainError, TokenRefused):
            answer = await self.client.start(self.token, _body(self.check))
        await in_public(let_end, self.check.id)
        if (answer.get("status"), answer.get("generationCreatedAt")) != ("resumed", self.created_at):
            return hints.bad_again()
        return Step("again", OK, "A repeated start is `resumed`: no turn runs twice.")

    async def _reply(self) -> Step:
        try:
            async with asyncio.timeout(END_SECONDS):
                end = await asyncio.shield(self._following)
        except TimeoutError:
            return hints.no_reply("")
        if isinstance(end, Failure):
            return hints.no_reply(end.text)
        with suppress(DomainError, TokenRefused):
            if await self._is_stored():
                return Step("ids", OK, "The reply is returned and stored under our id.")
        return hints.not_stored()

    @property
    def _following(self) -> asyncio.Task[Finish | Failure]:
        if self._end is None:
            raise RuntimeError("A generation is followed from its start.")
        return self._end

    async def _seen(self, end: asyncio.Task[Finish | Failure]) -> CheckRef | None:
        """The check once its call has arrived; None if the generation ended first, or after ROUTE_SECONDS."""
        until = asyncio.get_running_loop().time() + ROUTE_SECONDS
        while True:
            has_ended = end.done()
            check = await in_public(find_check, self.check.id)
            if check is not None and check.calls:
                return check
            if has_ended or asyncio.get_running_loop().time() > until:
                return None
            await asyncio.wait({end}, timeout=POLL_SECONDS)

    async def _not_routed(self, end: asyncio.Task[Finish | Failure]) -> Step:
        outcome = end.result() if end.done() else None
        if isinstance(outcome, Failure):
            if outcome.text in NO_ENDPOINT:
                return hints.no_endpoint()
            if outcome.never_began:
                return hints.broken_off(outcome.text)
        answers = await egress_answers(settings.EGRESS_URL, PROBE_SECONDS)
        said = outcome.text if isinstance(outcome, Failure) else ""
        return hints.not_routed(status_in(said), said, egress_answers=answers)

    async def _is_stored(self) -> bool:
        for _ in range(STORED_TRIES):
            rows = await self.client.messages(self.token, self.check.conversation_id)
            if any(row.get("messageId") == str(self.check.id) for row in rows):
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _usage(self) -> Step:
        if not any(self.reader.usage):
            return hints.no_usage()
        check = await in_public(find_check, self.check.id)
        if check is not None and check.calls > 1:
            return hints.odd_usage(check.calls)
        return Step("usage", OK, "LibreChat reports the usage of each model call.")

    async def _tools(self) -> Step:
        """Checks that a tool at our egress is offered to the model, called, and its result returned."""
        config = {
            "type": "streamable-http",
            "url": f"{settings.EGRESS_URL.rstrip('/')}/mcp-check/{self.check.id.hex}",
            "title": server_title("check", self.check.id),
            "description": "An engine check",
            "headers": {"Authorization": f"Bearer {settings.EGRESS_SECRETS[0]}"},
        }
        try:
            self._server = await self.client.add_server(self.token, config)
            if self._server not in await self.client.servers(self.token):
                return hints.no_tools("LibreChat does not list it afterwards.")
            return await self._tool_call()
        except DomainError as exc:
            return hints.no_tools(exc.text)
        except TokenRefused:
            return hints.no_tools("LibreChat refuses the token.")

    async def _tool_call(self) -> Step:
        """Runs a second generation, whose model calls the tool immediately."""
        check = await in_public(open_check, engine=ENGINE)
        self._tool_check = check
        await in_public(let_end, check.id)
        reader = ReplyReader(check.id)
        await self.client.start(self.token, {**_body(check), "ephemeralAgent": {"mcp": [self._server]}})
        try:
            async with asyncio.timeout(END_SECONDS):
                end = await self._follow(check, reader)
        except TimeoutError:
            end = Failure("the turn did not end", never_began=True)
        seen = [await in_public(find_check, row.id) for row in (self.check, check)]
        noted = {note for row in seen if row for note in row.fitting}
        said = end.text if isinstance(end, Failure) else ""
        if TOOL_OFFERED not in noted:
            return hints.tools_not_offered(said)
        if TOOL_CALLED not in noted:
            return hints.tool_not_called(said)
        if isinstance(end, Failure):
            return hints.tool_not_answered(said)
        return Step(
            "tools",
            OK,
            "LibreChat offers a tool at our egress, calls it and returns its result to the model.",
        )

    async def _follow(self, check: CheckRef, reader: ReplyReader) -> Finish | Failure:
        """Reads the generation to its end."""
        try:
            stream = self.client.stream(self.token, check.conversation_id, resume=False)
            async with aclosing(stream) as frames:
                async for frame in frames:
                    for item in reader.read(frame):
                        if isinstance(item, Finish | Failure):
                            return item
        except (DomainError, TokenRefused, StreamGone) as exc:
            return Failure(type(exc).__name__, never_began=True)
        return Failure("the stream ended", never_began=True)


def _body(check: CheckRef) -> JsonObject:
    body = start_body(
        "Are you there?",
        conversation_id=check.conversation_id,
        reply_id=check.id,
        parent=START,
        max_tokens=16,
    )
    return {**body, "overrideUserMessageId": f"{_question_id(check.id)}__0"}


def _question_id(check_id: UUID) -> UUID:
    """Not the reply's id, and always the same, so that a repeated start is the same generation."""
    return uuid5(check_id, "question")
