"""Runs one turn: its model calls, tools, end and storage."""

import asyncio

from gateway.tests.replayed_librechat import ends, frames, history, tools
from gateway.tests.replayed_librechat.accounts import Account
from gateway.tests.replayed_librechat.answers import Json, compact
from gateway.tests.replayed_librechat.conversations import Conversation
from gateway.tests.replayed_librechat.generations import REPLACED, Generation, Generations
from gateway.tests.replayed_librechat.knobs import Knobs
from gateway.tests.replayed_librechat.model_calls import Answer, ModelCalls
from gateway.tests.replayed_librechat.model_client import ModelFailure
from gateway.tests.replayed_librechat.placeholders import with_values
from gateway.tests.replayed_librechat.servers import Servers

SUMMARISE = "Summarise the conversation so far."


class Turn:
    """The work of one start; it continues when its readers leave, and when another start replaces it."""

    def __init__(  # noqa: PLR0917 - everything that a start has
        self,
        knobs: Knobs,
        generations: Generations,
        generation: Generation,
        conversation: Conversation,
        servers: Servers,
        body: Json,
        offered: list[Json],
        account: Account,
    ) -> None:
        self.knobs = knobs
        self.servers = servers
        self.generations = generations
        self.generation = generation
        self.conversation = conversation
        self.body = body
        self.agent_id = f"{body['endpoint']}__{body['model']}"
        self.tools = offered
        self.account = account
        self.calls = ModelCalls(knobs, generation, self._headers(), self._settings())

    async def run(self) -> None:
        await asyncio.sleep(self.knobs.start_delay)
        self._create()
        try:
            await self._answer()
        except ModelFailure as exc:
            self.generation.content.fail(str(exc))
        if not self.generation.ended:
            final = ends.completed(self.generation, self.conversation, self.body, self.calls)
            await self._finish(final, final["responseMessage"])

    async def abort(self) -> None:
        """Closes the model call; the text so far is stored as an unfinished reply."""
        if self.generation.ended or self.generation.task is None:
            return
        self.generation.task.cancel()
        await asyncio.wait({self.generation.task})
        final = ends.aborted(self.generation, self.conversation, self.body)
        await self._finish(final, final["responseMessage"] | {"text": self.generation.content.text})

    async def _finish(self, final: Json, reply: Json) -> None:
        """Until the delay after the stream's end, the reply is not found."""
        self.generations.forget(self.generation)
        if self.knobs.loses_streams:
            self.generation.end({"error": REPLACED}, "error")
        else:
            self.generation.end(final)
        await asyncio.sleep(self.knobs.store_delay)
        self.conversation.store(ends.stored(reply))
        self.knobs.counters["stored"] += 1

    def _create(self) -> None:
        said = self.generation.user_message
        row = {"tokenCount": ends.estimate(said["text"]), "endpoint": self.body["endpoint"], "model": None}
        self.conversation.store(said | row)
        self.generation.created = True
        self.generation.emit({"created": True, "message": said, "streamId": self.generation.stream_id})

    async def _answer(self) -> None:
        messages = self._messages()
        if self.knobs.summarises:
            await self._summarise(messages)
        for _ in range(self.knobs.recursion_limit):
            self._gauge(messages)
            answer = await self.calls.ask(messages, self.tools)
            if not answer.requests:
                return
            messages = messages + await self._use_tools(answer)
        raise ModelFailure(
            f"Recursion limit of {self.knobs.recursion_limit} reached without hitting a stop condition."
            ' You can increase the limit by setting the "recursionLimit" config key.'
        )

    def _messages(self) -> list[Json]:
        return history.model_messages(
            self.conversation.chain(self.body["parentMessageId"]),
            self.generation.user_message["text"],
            with_values(self.body.get("promptPrefix"), self.account.name),
            self.body["maxContextTokens"],
            self.knobs.assistant_parts,
        )

    async def _summarise(self, messages: list[Json]) -> None:
        """LibreChat's own model call; its failure does not end the turn."""
        about = {"agentId": self.agent_id, "provider": "openAI", "model": self.generation.model}
        counts = {"messagesToRefineCount": len(messages), "summaryVersion": 1}
        self.generation.event("on_summarize_start", about | counts)
        outcome: Json
        try:
            text = await self.calls.ask_aside([*messages, {"role": "user", "content": SUMMARISE}])
            outcome = {"summary": {"type": "summary", "content": [{"type": "text", "text": text}]}}
        except ModelFailure as exc:
            outcome = {"error": str(exc)}
        self.generation.event("on_summarize_complete", {"agentId": self.agent_id, **outcome})

    async def _use_tools(self, answer: Answer) -> list[Json]:
        """Runs the tool calls; returns the messages for the next model call."""
        content = self.generation.content
        requests = list(answer.requests.values())
        outputs = await asyncio.gather(
            *(self._run_tool(request.name, request.arguments) for request in requests)
        )
        for request, output in zip(requests, outputs, strict=True):
            content.complete(request.id, compact(tools.parsed(request.arguments)), output)
            data = frames.completed(request.step_id, content.calls[request.id])
            self.generation.event("on_run_step_completed", data)
        done = [content.calls[request.id] for request in requests]
        offered = {tool["function"]["name"] for tool in self.tools}
        if self.knobs.flattens_tools and not any(call["name"] in offered for call in done):
            return [{"role": "user", "content": history.flattened(done)}]
        asked = [history.requested(call) for call in done]
        said = {"role": "assistant", "content": answer.text, "tool_calls": asked}
        return [said, *map(history.answered, done)]

    async def _run_tool(self, name: str, arguments: str) -> str:
        offered = [tool["function"]["name"] for tool in self.tools]
        if name in offered and self.servers.has(self.generation.user_id, name):
            return await self.servers.call(self.generation.user_id, name, tools.parsed(arguments))
        if self.knobs.flattens_tools and name not in offered:
            return f'Error: Tool "{name}" not found.'
        return tools.run(name, arguments, self.tools)

    def _gauge(self, messages: list[Json]) -> None:
        bound, run_id = self.body["maxContextTokens"], self.generation.response_id
        usage = frames.context_usage(run_id, self.agent_id, bound, messages, self.tools)
        self.generation.context_usage = usage
        self.generation.event("on_context_usage", usage)

    def _headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self.knobs.secret}",
            "x-engine-user": self.generation.user_id,
            "x-conversation": self.generation.stream_id,
            "x-message": self.generation.response_id,
            "x-parent": self.body["parentMessageId"],
        }

    def _settings(self) -> Json:
        always = {"model": self.body["model"], "user": self.generation.user_id, "stream": True}
        options = {"stream_options": {"include_usage": True}} if self.knobs.stream_usage else {}
        given = {key: self.body.get(key) for key in ("temperature", "max_tokens")}
        return always | options | {key: value for key, value in given.items() if value is not None}
