"""Reads OpenAI's streamed chunks as events, without I/O, from every server that claims to send them.

Protocol: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from collections.abc import Iterator
from typing import Any

from gateway.providers import reasoning_details
from gateway.providers.base import (
    Extra,
    Finish,
    JsonObject,
    ModelEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from gateway.providers.finish_reasons import finish_reason
from gateway.providers.garbled import a_text, an_object, objects, parsed
from gateway.providers.reported_errors import error_in, reported_error
from gateway.providers.sse import BODY, DONE, Frame
from gateway.providers.think_tags import ThinkTags
from gateway.providers.tool_call_pieces import ToolCallPieces
from gateway.providers.usage_counts import merged, usage_of

REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "thought")
READ_IN_CHUNK = {"id", "object", "created", "model", "choices", "usage", "error", "x_groq", "obfuscation"}
READ_IN_CHUNK |= {"usageMetadata", "type", "finish_reason", "finishReason"}
READ_IN_CHOICE = {"index", "delta", "message", "text", "finish_reason", "finishReason", "error", "usage"}
READ_IN_MESSAGE = {"role", "content", "refusal", "tool_calls", "function_call", "obfuscation", "usage"}
READ_IN_MESSAGE |= set(REASONING)
MOST_EXTRAS = 100_000  # of one reply
EACH_TIME = {"logprobs"}  # passed on even if the value repeats
EMPTY: tuple[Any, ...] = (None, "", [], {})


class OpenAIReader:
    """Reads one reply up to `[DONE]`."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.done = False
        self.unread = 0
        self._reason: str | None = None
        self._is_whole = False  # the server did not stream
        self._has_begun = False
        self._index: Any = None  # of the choice we read
        self._calls = ToolCallPieces()
        self._tags = ThinkTags()
        self._usage: UsageReport | None = None
        self._from_messages = ""  # the text sent in a `message` rather than in deltas
        self._has_deltas = self._has_reasoning = False
        self._extras: dict[tuple[str, str], Any] = {}  # the last of each
        self._extra_count = 0

    @property
    def is_finished(self) -> bool:
        return self._reason is not None

    @property
    def has_usage(self) -> bool:
        return self._usage is not None

    def read(self, frame: Frame) -> Iterator[ModelEvent]:
        if frame.data.strip() == DONE:
            self.done = True
            return
        chunks = parsed(frame.data)
        if chunks is None:
            self.unread += frame.data.strip() not in ("null", "ping")
            return
        for chunk in chunks:
            if (error := error_in(chunk, event=frame.event)) is not None:
                raise reported_error(error, provider=self.provider, has_begun=self._has_begun)
            yield from self._read_chunk(chunk)
            if frame.event == BODY and (self._message_in(chunk) or len(chunks) > 1):
                self._is_whole = True

    def end(self) -> Iterator[ModelEvent]:
        """A reply is complete after a reason, after `[DONE]` if it has anything, and as a whole document."""
        held: list[ModelEvent] = list(self._tags.end())
        if pieces := list(self._calls.end()):
            held.append(ToolCallDelta(pieces))
        self._has_begun = self._has_begun or bool(held)
        yield from held
        if self._usage is not None:
            yield self._usage
        if self._reason is None and not (self._has_begun and (self.done or self._is_whole)):
            return
        reason = self._reason or "stop"
        yield Finish("tool_calls" if reason == "stop" and self._calls.calls else reason)

    def _read_chunk(self, chunk: JsonObject) -> Iterator[ModelEvent]:
        for choice in _choices(chunk):
            if self._index is None:
                self._index = choice.get("index", 0)
            if choice.get("index", self._index) == self._index:
                yield from self._read_choice(choice)
        self._end_by(chunk)
        yield from self._read_usage(chunk)
        if "choices" in chunk:
            yield from self._extras_of("answer", chunk, READ_IN_CHUNK)

    def _read_choice(self, choice: JsonObject) -> Iterator[ModelEvent]:
        for event in self._events_of(choice):
            self._has_begun = True
            yield event
        if error := choice.get("error"):
            raise reported_error(error, provider=self.provider, has_begun=True)
        self._end_by(choice)

    def _end_by(self, place: JsonObject) -> None:
        reason = a_text(place.get("finish_reason")) or a_text(place.get("finishReason"))
        self._reason = finish_reason(reason, provider=self.provider) or self._reason

    def _events_of(self, choice: JsonObject) -> Iterator[ModelEvent]:
        delta, message = an_object(choice.get("delta")), an_object(choice.get("message"))
        yield from self._read_message(delta, is_new=True)
        if message:
            yield from self._read_message(self._news_in(message), is_new=False)
        if text := a_text(choice.get("text")):
            yield from self._tags.add(text)
        yield from self._extras_of("choice", choice, READ_IN_CHOICE)

    def _read_message(self, message: JsonObject, *, is_new: bool) -> Iterator[ModelEvent]:
        if reasoning := _reasoning_in(message):
            self._has_reasoning = True
            yield ReasoningDelta(reasoning)
        for text, kind in _content(message.get("content")):
            if kind is TextDelta:
                self._has_deltas = self._has_deltas or is_new
                yield from self._tags.add(text)
            else:
                self._has_reasoning = True
                yield kind(text)
        if refusal := a_text(message.get("refusal")):
            yield RefusalDelta(refusal)
        if pieces := [piece for call in _calls_in(message) for piece in self._calls.add(call)]:
            yield ToolCallDelta(pieces)
        yield from self._extras_of("message", _with_images(message), READ_IN_MESSAGE)

    def _news_in(self, message: JsonObject) -> JsonObject:
        """The part of a whole message that was not in deltas; some servers repeat everything at the end."""
        news = {
            name: value for name, value in message.items() if name not in REASONING or not self._has_reasoning
        }
        content = news.get("content")
        if self._has_deltas:
            news.pop("content", None)
        elif isinstance(content, str):
            before, self._from_messages = self._from_messages, content
            if content.startswith(before):
                news["content"] = content[len(before) :]
        if self._calls.calls:
            news = {
                name: value for name, value in news.items() if name not in ("tool_calls", "function_call")
            }
        return news

    def _read_usage(self, chunk: JsonObject) -> Iterator[ModelEvent]:
        """The counts so far, passed on immediately: a reply that breaks off is charged by them."""
        choices = _choices(chunk)
        inner = [an_object(choice.get(name)) for choice in choices for name in ("delta", "message")]
        places = [chunk, an_object(chunk.get("x_groq")), *choices, *inner]
        counts = [place["usage"] for place in places if isinstance(place.get("usage"), dict)]
        counts += [an_object(chunk.get("usageMetadata")), *([chunk] if "eval_count" in chunk else [])]
        for report in map(usage_of, counts):
            if report is not None:
                self._usage = merged(self._usage, report)
                yield self._usage

    def _extras_of(self, place: str, found: JsonObject, known: set[str]) -> Iterator[ModelEvent]:
        """Fields that we do not read, each whenever it changes."""
        for name, value in found.items():
            is_news = value not in EMPTY and (name in EACH_TIME or self._extras.get((place, name)) != value)
            if name not in known and is_news and self._extra_count < MOST_EXTRAS:
                self._extras[place, name] = value
                self._extra_count += 1
                yield Extra(place, name, value)

    @staticmethod
    def _message_in(chunk: JsonObject) -> bool:
        return any(isinstance(choice.get("message"), dict) for choice in _choices(chunk))


def _choices(chunk: JsonObject) -> list[JsonObject]:
    choices = chunk.get("choices")
    return objects([choices] if isinstance(choices, dict) else choices)


def _reasoning_in(message: JsonObject) -> str:
    """From the first field that has any, otherwise from `reasoning_details`."""
    found = (_joined_text(message.get(name)) for name in (*REASONING, reasoning_details.NAME))
    return next((text for text in found if text), "")


def _content(content: Any) -> Iterator[tuple[str, type[TextDelta] | type[ReasoningDelta]]]:
    """Texts and reasoning: Mistral's reasoning models send a list of parts of both."""
    if isinstance(content, str):
        if content:
            yield content, TextDelta
        return
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str) and part:
            yield part, TextDelta
        if not isinstance(part, dict):
            continue
        kind = a_text(part.get("type"))
        thought = part.get("thinking", part.get("reasoning"))
        if kind in ("thinking", "reasoning") or (not kind and thought):
            if text := _joined_text(thought if thought is not None else part.get("text")):
                yield text, ReasoningDelta
        elif text := a_text(part.get("text")):
            yield text, TextDelta


def _joined_text(value: Any) -> str:
    """The text of a string, an object or a list of objects with `text`, `summary` or `content`."""
    if isinstance(value, str):
        return value
    parts = objects([value] if isinstance(value, dict) else value)
    return "".join(
        next((text for name in ("text", "summary", "content") if (text := a_text(part.get(name)))), "")
        for part in parts
    )


def _with_images(message: JsonObject) -> JsonObject:
    """The message with the images of its content in `images`, as OpenRouter sends them."""
    content = message.get("content")
    images = [part for part in objects(content) if part.get("type") == "image_url"]
    return {**message, "images": [*objects(message.get("images")), *images]} if images else message


def _calls_in(message: JsonObject) -> list[JsonObject]:
    """Pieces of tool calls: a list, one object, or a map by index; or the deprecated `function_call`."""
    calls = message.get("tool_calls")
    if isinstance(calls, dict):
        calls = [calls] if {"function", "name", "id"} & calls.keys() else list(calls.values())
    found = objects(calls)
    old = message.get("function_call")
    return found or ([{"index": 0, "function": old}] if isinstance(old, dict) else [])
