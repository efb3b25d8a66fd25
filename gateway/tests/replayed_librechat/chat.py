"""The chat routes: start, follow, stop, and list running generations."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

from gateway.tests.replayed_librechat import starts, tools
from gateway.tests.replayed_librechat.accounts import Account
from gateway.tests.replayed_librechat.answers import (
    PROTOCOL,
    STREAM_HEADERS,
    Json,
    Receive,
    Send,
    answer,
    answer_json,
    client_leaves,
    compact,
    start,
    write,
)
from gateway.tests.replayed_librechat.conversations import Conversations
from gateway.tests.replayed_librechat.generations import Generation, Generations, Lost
from gateway.tests.replayed_librechat.knobs import Knobs
from gateway.tests.replayed_librechat.request import Request
from gateway.tests.replayed_librechat.servers import Servers
from gateway.tests.replayed_librechat.turns import Turn

NO_TOOLS = compact(
    {
        "status": 503,
        "code": "AGENT_EXPECTED_MCP_TOOLS_UNAVAILABLE",
        "error": "The agent is configured to use MCP tools, but none are available. Verify that the MCP "
        "server is connected and this agent can access its selected tools, then try again.",
    }
)


class Chat:
    """Turns chat calls into generations."""

    def __init__(self, knobs: Knobs, conversations: Conversations, servers: Servers) -> None:
        self.knobs = knobs
        self.servers = servers
        self.conversations = conversations
        self.generations = Generations()
        self.turns: dict[int, Turn] = {}  # by their generation's createdAt
        self.tasks: set[asyncio.Task[None]] = set()

    async def answer(self, request: Request, account: Account, receive: Receive, send: Send) -> bool:
        """False if the request is not a chat call."""
        match request.route:
            case ("POST", "api", "agents", "chat", "abort"):
                await self.stop(account, request.body, send)
            case ("POST", "api", "agents", "chat", endpoint):
                await self.start(account, endpoint, request.body, send, request.replica)
            case ("GET", "api", "agents", "chat", "active"):
                await answer_json(send, 200, {"activeJobIds": self.generations.active(account.id)})
            case ("GET", "api", "agents", "chat", "status", stream_id):
                await self.status(account, stream_id, send)
            case ("GET", "api", "agents", "chat", "stream", stream_id):
                resume = request.query.get("resume") == "true"
                await self.follow(account, stream_id, resume, receive, send, request.replica)
            case _:
                return False
        return True

    async def start(self, account: Account, endpoint: str, body: Json, send: Send, replica: int) -> None:
        body = starts.complete(body, endpoint)
        stream_id = body["conversationId"]
        if self.conversations.is_foreign(stream_id, account.id):
            await answer(send, 200, starts.refused_foreigner(body))
            return
        status, generation = self._begin_or_resume(account, body)
        generation.replica = generation.replica or replica
        self.knobs.counters[status.replace("started", "starts")] += 1
        data = {"generationCreatedAt": generation.created_at, "status": status}
        await answer_json(send, 200, {"streamId": stream_id, "conversationId": stream_id} | data | PROTOCOL)

    async def follow(  # noqa: PLR0917 - everything from a request
        self, account: Account, stream_id: str, resume: bool, receive: Receive, send: Send, replica: int
    ) -> None:
        generation = self._mine(account, stream_id)
        if generation is None:
            gone = {
                "error": "Stream not found",
                "message": "The generation job does not exist or has expired.",
            }
            await answer_json(send, 404, gone | PROTOCOL)
            return
        self.knobs.counters["streams"] += 1
        await start(send, 200, STREAM_HEADERS)
        is_elsewhere = self.knobs.is_torn or generation.replica != replica
        lost = self.knobs.loses_beginnings if is_elsewhere else 0
        sending = asyncio.ensure_future(self._send_frames(generation, resume, send, lost))
        leaving = asyncio.ensure_future(client_leaves(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
        if sending.done():
            sending.result()

    async def stop(self, account: Account, body: Json, send: Send) -> None:
        stream_id = body.get("streamId") or body.get("conversationId") or ""
        generation = self.generations.get(stream_id)
        if generation is None or generation.ended:
            gone = {"error": "Job not found", "streamId": stream_id}
            await answer_json(send, 404, gone | PROTOCOL)
        elif generation.user_id != account.id:
            await answer_json(send, 403, {"error": "Unauthorized"} | PROTOCOL)
        elif body.get("generationCreatedAt") not in (None, generation.created_at):
            await answer_json(send, 409, {"code": "RUN_REPLACED"} | PROTOCOL)
        else:
            self.knobs.counters["aborts"] += 1
            self._abort(generation)
            await answer_json(send, 200, {"success": True, "aborted": stream_id} | PROTOCOL)

    async def status(self, account: Account, stream_id: str, send: Send) -> None:
        generation = self._mine(account, stream_id)
        state = generation.status() if generation else {"active": False} | PROTOCOL
        await answer_json(send, 200, state)

    def lose(self) -> None:
        """Like a restart: running generations emit nothing more and are not stored."""
        for generation in list(self.generations.by_stream.values()):
            generation.lose()
            self.generations.forget(generation)
        for task in self.tasks:
            task.cancel()

    def _begin_or_resume(self, account: Account, body: Json) -> tuple[str, Generation]:
        running = self.generations.get(body["conversationId"])
        if running is not None and not running.ended:
            if running.request_id is not None and running.request_id == body.get("clientRequestId"):
                return "resumed", running
            self.generations.replace(running)
            self.knobs.counters["replaced"] += 1
        return "started", self._begin(account, body)

    def _begin(self, account: Account, body: Json) -> Generation:
        generation = Generation(
            stream_id=body["conversationId"],
            user_id=account.id,
            request_id=body.get("clientRequestId"),
            response_id=body["responseMessageId"],
            model=body["model"],
            created_at=self.generations.next_created_at(),
            user_message=starts.user_message(body),
        )
        self.generations.add(generation)
        if error := self._refusal(body):
            generation.failed = True
            generation.end({"error": error}, "error")
            return generation
        conversation = self.conversations.open(generation.stream_id, account.id, body)
        named = (body.get("ephemeralAgent") or {}).get("mcp") or []
        offered = self.offered(account.id, named)
        turn = Turn(
            self.knobs, self.generations, generation, conversation, self.servers, body, offered, account
        )
        self.turns[generation.created_at] = turn
        generation.task = self._spawn(turn.run())
        return generation

    def _refusal(self, body: Json) -> str | None:
        endpoint, model = body["endpoint"], body["model"]
        if endpoint not in self.knobs.endpoints:
            return f'{{ "type": "endpoint_models_not_loaded", "info": "{endpoint}" }}'
        if model not in self.knobs.endpoints[endpoint]:
            return f'{{ "type": "illegal_model_request", "info": "{endpoint}|{model}" }}'
        named = (body.get("ephemeralAgent") or {}).get("mcp") or []
        if named and "tools" not in self.knobs.capabilities:
            return NO_TOOLS
        return None

    def offered(self, account_id: str, named: list[str]) -> list[Json]:
        own = tools.offered([server for server in named if server in self.knobs.mcp_servers])
        return [*own, *self.servers.offered(account_id, named)]

    def _abort(self, generation: Generation) -> None:
        """Removed immediately, so that the next start has no turn to replace."""
        self.generations.forget(generation)
        self._spawn(self.turns[generation.created_at].abort())

    def _mine(self, account: Account, stream_id: str) -> Generation | None:
        generation = self.generations.get(stream_id)
        return generation if generation and generation.user_id == account.id else None

    async def _send_frames(self, generation: Generation, resume: bool, send: Send, lost: int) -> None:
        """Sends the frames without the first `lost` pieces of text."""
        sent = 0
        async with aclosing(generation.read(resume)) as frames:
            async for text in frames:
                if lost and '"on_message_delta"' in text:
                    lost -= 1
                    continue
                await write(send, text)
                sent += 1
                if sent == self.knobs.break_stream_after and not generation.cut:
                    generation.cut = True
                    raise Lost
        if generation.failed:
            self.generations.forget(generation)
        await write(send, "", more=False)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task
