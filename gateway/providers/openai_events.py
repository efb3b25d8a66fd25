"""Reads OpenAI's streamed chunks as events, without I/O.

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
from gateway.providers.garbled import a_count, a_text, an_object, is_count, objects, parsed, reported_count
from gateway.providers.refusals import is_transient
from gateway.providers.sse import Frame

FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter"}


class OpenAIReader:
    """Reads one reply up to `[DONE]`; unknown fields are skipped."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.done = False
        self._indexes = _CallIndexes()

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
            yield ToolCallDelta(
                [self._indexes.put(_tool_call(piece), piece.get("index")) for piece in pieces]
            )
        if reason := a_text(choice.get("finish_reason")):
            yield Finish(reason if reason in FINISH_REASONS else "stop")

    def _reported(self, error: Any) -> ProviderError:
        """An error after the headers: OpenRouter and llama.cpp send a status as its `code`."""
        code = an_object(error).get("code")
        status = code if type(code) is int and 400 <= code < 600 else 200
        return ProviderError(provider=self.provider, provider_status=status, transient=is_transient(status))


def usage_of(usage: JsonObject) -> UsageReport | None:
    """None if a count is missing, which is not 0; negative if it is not a count."""
    read, written = reported_count(usage.get("prompt_tokens")), reported_count(usage.get("completion_tokens"))
    if read is None or written is None:
        return None
    cached = a_count(an_object(usage.get("prompt_tokens_details")).get("cached_tokens"))
    reasoning = a_count(an_object(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    if reasoning and usage.get("total_tokens") == read + written + reasoning:
        written += reasoning  # xAI counts reasoning separately from the completion
    return UsageReport(read, written, min(cached, max(read, 0)), min(reasoning, max(written, 0)))


def _content(content: Any) -> str:
    """Mistral's reasoning models send a list of parts, of which only text is used."""
    if isinstance(content, str):
        return content
    return "".join(a_text(part.get("text")) for part in objects(content))


def _tool_call(piece: JsonObject) -> JsonObject:
    """A piece of a tool call with only valid fields, of the types that clients expect."""
    function = an_object(piece.get("function"))
    texts = {name: function[name] for name in ("name", "arguments") if isinstance(function.get(name), str)}
    head = {"id": piece["id"], "type": "function"} if isinstance(piece.get("id"), str) else {}
    return {**head, "function": texts}


class _CallIndexes:
    """Which call each piece belongs to, even if a server sends no `index`, or 0 for every call.

    A piece with a new id and a name begins another call: this is how Gemini streams parallel ones.
    """

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}  # by our index
        self._by_id: dict[str, int] = {}  # the first index with this id
        self._at: dict[int, int] = {}  # our index for the server's own, which it may use again
        self._latest = 0
        self._free = 0  # beyond all indexes in use

    def put(self, call: JsonObject, index: Any) -> JsonObject:
        """The piece with its correct index."""
        name, call_id = call["function"].get("name"), call.get("id", "")
        if is_count(index):
            own_index = self._with_index(index, call_id if name else "")
            self._at[index] = own_index
        else:
            own_index = self._without_index(call_id)
        self._ids[own_index] = self._ids.get(own_index) or call_id
        self._by_id.setdefault(self._ids[own_index], own_index)
        self._latest, self._free = own_index, max(self._free, own_index + 1)
        return {"index": own_index, **call}

    def _with_index(self, index: int, new_id: str) -> int:
        own_index = self._at.get(index)
        if own_index is None:
            return index if index not in self._ids else self._free
        is_another = new_id and self._ids[own_index] not in ("", new_id)
        return self._free if is_another else own_index

    def _without_index(self, call_id: str) -> int:
        if not call_id:
            return self._latest
        return self._by_id.get(call_id, self._free)
