"""OpenAI's streamed chunks as events, without I/O.

Protocol: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from collections.abc import Iterator
from typing import Any

from gateway.errors import ProviderError
from gateway.providers.base import (
    Finish,
    JsonObject,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.providers.garbled import a_count, a_text, an_object, is_count, objects, parsed, told_count
from gateway.providers.refusals import is_transient
from gateway.providers.sse import Frame

FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter"}


class OpenAIReader:
    """Reads one answer up to `[DONE]`; fields that we do not know are skipped."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.done = False
        self._places = _CallPlaces()

    def read(self, frame: Frame) -> Iterator[ModelEvent]:
        if frame.data == "[DONE]":
            self.done = True
            return
        chunk = parsed(frame.data, provider=self.provider)
        if chunk.get("error"):
            raise self._reported(chunk["error"])
        for choice in objects(chunk.get("choices")):
            yield from self._read_choice(choice)
        report = usage_of(an_object(chunk.get("usage")))
        if report is not None:
            yield report

    def _read_choice(self, choice: JsonObject) -> Iterator[ModelEvent]:
        delta = an_object(choice.get("delta"))
        if reasoning := a_text(delta.get("reasoning_content")) or a_text(delta.get("reasoning")):
            yield ReasoningDelta(reasoning)
        if text := _content(delta.get("content")) + a_text(delta.get("refusal")):
            yield TextDelta(text)
        if pieces := objects(delta.get("tool_calls")):
            yield ToolCallDelta([self._places.put(_tool_call(piece), piece.get("index")) for piece in pieces])
        if reason := a_text(choice.get("finish_reason")):
            yield Finish(reason if reason in FINISH_REASONS else "stop")

    def _reported(self, error: Any) -> ProviderError:
        """An error after the headers: OpenRouter and llama.cpp tell a status as its `code`."""
        code = an_object(error).get("code")
        status = code if type(code) is int and 400 <= code < 600 else 200
        return ProviderError(provider=self.provider, provider_status=status, transient=is_transient(status))


def usage_of(usage: JsonObject) -> UsageReport | None:
    """None where a count is missing, which is not 0; negative where it is no count."""
    told, written = told_count(usage.get("prompt_tokens")), told_count(usage.get("completion_tokens"))
    if told is None or written is None:
        return None
    cached = a_count(an_object(usage.get("prompt_tokens_details")).get("cached_tokens"))
    reasoning = a_count(an_object(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    if reasoning and usage.get("total_tokens") == told + written + reasoning:
        written += reasoning  # xAI counts the reasoning beside the completion, not in it
    return UsageReport(told, written, min(cached, max(told, 0)), min(reasoning, max(written, 0)))


def _content(content: Any) -> str:
    """Mistral's reasoning models send a list of parts; its other parts are skipped."""
    if isinstance(content, str):
        return content
    return "".join(a_text(part.get("text")) for part in objects(content))


def _tool_call(piece: JsonObject) -> JsonObject:
    """A piece of a tool call with everything of the type that clients rely on."""
    function = an_object(piece.get("function"))
    texts = {name: function[name] for name in ("name", "arguments") if isinstance(function.get(name), str)}
    head = {"id": piece["id"], "type": "function"} if isinstance(piece.get("id"), str) else {}
    return {**head, "function": texts}


class _CallPlaces:
    """Which call each piece belongs to, also where a server tells no `index`, or 0 for every call.

    A piece that brings another id together with a name begins another call: so Gemini streams parallel ones.
    """

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}  # by place
        self._places: dict[str, int] = {}  # by id, the first place that has it
        self._at: dict[int, int] = {}  # the place that the server's own index means by now
        self._latest = 0
        self._free = 0  # a place beyond all that are taken

    def put(self, call: JsonObject, index: Any) -> JsonObject:
        """The piece with its right index."""
        name, call_id = call["function"].get("name"), call.get("id", "")
        if is_count(index):
            place = self._told(index, call_id if name else "")
            self._at[index] = place
        else:
            place = self._untold(call_id)
        self._ids[place] = self._ids.get(place) or call_id
        self._places.setdefault(self._ids[place], place)
        self._latest, self._free = place, max(self._free, place + 1)
        return {"index": place, **call}

    def _told(self, index: int, beginning: str) -> int:
        place = self._at.get(index)
        if place is None:
            return index if index not in self._ids else self._free
        is_another = beginning and self._ids[place] not in ("", beginning)
        return self._free if is_another else place

    def _untold(self, call_id: str) -> int:
        if not call_id:
            return self._latest
        return self._places.get(call_id, self._free)
