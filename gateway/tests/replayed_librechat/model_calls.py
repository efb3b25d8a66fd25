"""A turn's model calls: each is streamed into the generation's frames and content, and counted."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway.tests.replayed_librechat import frames
from gateway.tests.replayed_librechat.answers import Json
from gateway.tests.replayed_librechat.generations import Generation
from gateway.tests.replayed_librechat.knobs import Knobs
from gateway.tests.replayed_librechat.model_client import call_model
from gateway.tests.replayed_librechat.tools import parsed


@dataclass
class ToolRequest:
    """A tool call of the model; arguments is JSON text that may arrive in pieces."""

    id: str
    name: str
    step_id: str
    arguments: str = ""


@dataclass
class Answer:
    """The reply of one model call."""

    text: str = ""
    requests: dict[int, ToolRequest] = field(default_factory=dict)  # by the provider's index
    usage: Json | None = None


class ModelCalls:
    """The calls of one turn; steps and usage are numbered across all of them."""

    def __init__(self, knobs: Knobs, generation: Generation, headers: dict[str, str], settings: Json) -> None:
        self.knobs = knobs
        self.generation = generation
        self.headers = headers
        self.settings = settings
        self.steps = 0
        self.usages: list[Json] = []

    async def ask(self, messages: list[Json], tools: list[Json]) -> Answer:
        """One call whose text is shown."""
        showing = _Showing(self)
        offered = {"tools": tools} if tools else {}
        async with aclosing(self._stream(messages, offered)) as chunks:
            async for chunk in chunks:
                showing.take(chunk)
        self._count(showing.answer.usage)
        return showing.answer

    async def ask_aside(self, messages: list[Json]) -> str:
        """One call whose text is counted but not shown."""
        text, usage = "", None
        async with aclosing(self._stream(messages, {})) as chunks:
            async for chunk in chunks:
                usage = chunk.get("usage") or usage
                text += _delta(chunk).get("content") or ""
        self._count(usage, "summarization")
        return text

    def metadata(self) -> Json:
        """The usage in the final reply; empty without exact counts."""
        gauge = self.generation.context_usage
        if not self.usages or gauge is None:
            return {}
        given, written = self.usages[-1]["input_tokens"], self.written
        total_input = sum(usage["input_tokens"] for usage in self.usages)
        budget, instructions = gauge["contextBudget"], gauge["effectiveInstructionTokens"]
        said = max(0, given - instructions)
        counts = {key: value for key, value in gauge["breakdown"].items() if value != {}}
        last = {
            **gauge,
            "breakdown": counts | {"messageTokens": said},
            "remainingContextTokens": budget - max(given, instructions),
            "completedOutputTokens": self.usages[-1]["output_tokens"],
        }
        usage = {"input": total_input, "output": written, "cacheWrite": 0, "cacheRead": 0}
        return {
            "metadata": {"contextUsage": last, "usage": usage | {"cost": frames.cost(total_input + written)}}
        }

    @property
    def written(self) -> int:
        return sum(usage["output_tokens"] for usage in self.usages)

    def _stream(self, messages: list[Json], offered: Json) -> AsyncGenerator[Json, None]:
        return call_model(self.knobs, self.headers, self.settings | {"messages": messages} | offered)

    def _count(self, usage: Json | None, purpose: str | None = None) -> None:
        if usage is None or not self.knobs.stream_usage:
            return
        generation, seq = self.generation, len(self.usages) + 1
        data = frames.token_usage(generation.response_id, generation.model, seq, usage, purpose)
        self.usages.append(data)
        generation.event("on_token_usage", data)


class _Showing:
    """Turns one call's chunks into frames."""

    def __init__(self, calls: ModelCalls) -> None:
        self.calls = calls
        self.generation = calls.generation
        self.answer = Answer()
        self.number = 0  # steps within this call
        self.step_id = ""
        self.kind = ""

    def take(self, chunk: Json) -> None:
        self.answer.usage = chunk.get("usage") or self.answer.usage
        if not chunk.get("choices"):
            return
        if not self.step_id:
            self._open_message(chunk)
        delta = _delta(chunk)
        self._say(chunk, "think", "on_reasoning_delta", delta.get("reasoning_content"))
        self._say(chunk, "text", "on_message_delta", delta.get("content"))
        for piece in delta.get("tool_calls") or []:
            self._ask_for_tool(piece)

    def _say(self, chunk: Json, kind: str, event: str, text: str | None) -> None:
        if not text:
            return
        if self.kind not in ("", kind):
            self._open_message(chunk)
        self.kind = kind
        self.answer.text += text if kind == "text" else ""
        self.generation.content.add(kind, text)
        self.generation.event(event, frames.delta(self.step_id, kind, text))

    def _ask_for_tool(self, piece: Json) -> None:
        """A call's first piece names it, the following ones carry more of its arguments."""
        index, function = piece.get("index", 0), piece.get("function", {})
        given = function.get("arguments") or ""
        if index not in self.answer.requests:
            whole = parsed(given)
            args = whole if isinstance(whole, dict) else ""
            step_id = self._open_step(frames.tool_step(function["name"], args, piece["id"]))
            self.answer.requests[index] = ToolRequest(piece["id"], function["name"], step_id)
            self.generation.content.open_call(piece["id"], function["name"])
        request = self.answer.requests[index]
        request.arguments += given
        self.generation.content.add_arguments(request.id, given)
        fields = {"name": function.get("name"), "args": given, "id": piece.get("id"), "index": index}
        chunk = {key: value for key, value in fields.items() if value is not None}
        data = frames.arguments_delta(request.step_id, chunk | {"type": "tool_call_chunk"})
        self.generation.event("on_run_step_delta", data)

    def _open_message(self, chunk: Json) -> None:
        self.step_id = self._open_step(frames.message_step(chunk.get("id", "chatcmpl-0")))

    def _open_step(self, details: Json) -> str:
        step = frames.step(self.generation.response_id, self.calls.steps, self.number, details)
        self.calls.steps += 1
        self.number += 1
        self.generation.run_steps.append(step)
        self.generation.event("on_run_step", step)
        return str(step["id"])


def _delta(chunk: Json) -> Json:
    choices = chunk.get("choices") or [{}]
    delta: Json = choices[0].get("delta") or {}
    return delta
