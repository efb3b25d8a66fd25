"""Parses LibreChat's stream of one reply into our events, without I/O: any recording can be played back.

A stream may be read from its middle (`?resume=true`): then its first frame contains the reply so far, of
which only the unseen rest becomes events. The complete reply at the end is authoritative: if the stream said
otherwise, Replacement withdraws it and the reply is sent again. Frames: PROTOCOL's table, and the recordings.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.engines.events import EngineEvent, Event, Replacement, TextEvent
from gateway.engines.librechat.error_text import words_of
from gateway.engines.librechat.registrations import KnownServer
from gateway.engines.librechat.tools import ToolCalls
from gateway.providers.base import Finish, JsonObject, ReasoningDelta, TextDelta
from gateway.providers.soundness import SoundText, sound
from gateway.providers.sse import Frame

EVENT_OF: dict[str, type[TextEvent]] = {"text": TextDelta, "think": ReasoningDelta}
NO_REASON = "LibreChat gave no reason."
SAVED = re.compile(r"reconnect|saved response|generation state changed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Failure:
    """The reply failed; `text` is LibreChat's own. `never_began`: LibreChat has stored nothing of it."""

    text: str
    never_began: bool = False

    @property
    def is_stored(self) -> bool:
        """LibreChat lost the stream, and refers to the reply that it has stored."""
        return self.never_began and bool(SAVED.search(self.text))


StreamItem = EngineEvent | Failure


class ReplyReader:
    """Reads the frames of one reply; nothing follows a Finish or a Failure."""

    def __init__(
        self,
        reply_id: UUID,
        reply_so_far: Iterable[Event] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reply_id = str(reply_id)
        self.usage = [0, 0]  # LibreChat's own count, in and out: a cross-check, never a bill
        self._texts = {"text": "", "think": ""}
        self._halves = _no_halves()
        self.servers: dict[str, KnownServer] = {}  # by LibreChat's names
        self._clock = clock
        self._calls = ToolCalls(clock, self.servers)
        for event in reply_so_far:
            self._remember(event)

    def read(self, frame: Frame) -> Iterator[StreamItem]:
        """The items of one frame; none for an unknown frame."""
        data = _parsed(frame.data)
        if frame.event == "error":
            yield Failure(_error_text(data), never_began=True)
        elif data is not None:
            yield from self._read(data)

    def remember_call(self, call_id: str) -> bool:
        """Notes that the caller announces a tool call; False if it was announced already."""
        return self._calls.note_announced(call_id)

    def read_stored(self, message: JsonObject) -> Iterator[StreamItem]:
        """Reads the reply as LibreChat stored it, after a stream whose end was not seen."""
        yield from self._end(message, {})

    def _read(self, data: JsonObject) -> Iterator[StreamItem]:
        if data.get("final"):
            yield from self._end(_object(data.get("responseMessage")), data)
        elif data.get("sync"):
            yield from self._catch_up(data)
        else:
            yield from self._step(data)

    def _step(self, data: JsonObject) -> Iterator[StreamItem]:
        inner = _object(data.get("data"))
        match data.get("event"):
            case "on_message_delta" | "on_reasoning_delta":
                yield from self._calls.announce()
                for part in _objects(_object(inner.get("delta")).get("content")):
                    kind = str(part.get("type"))
                    if kind in EVENT_OF:
                        yield from self._say(kind, self._halves[kind].add(_text_of(part)))
            case "on_run_step":
                self._calls.begin(inner)
            case "on_run_step_delta":
                self._calls.grow(inner)
            case "on_run_step_completed":
                yield from self._calls.finish(_object(_object(inner.get("result")).get("tool_call")))
            case "on_token_usage":
                self._count(inner)
                yield from self._calls.announce()

    def _say(self, kind: str, text: str) -> Iterator[Event]:
        if text:
            self._texts[kind] += text
            yield EVENT_OF[kind](text)

    def _catch_up(self, data: JsonObject) -> Iterator[StreamItem]:
        """`aggregatedContent` is the reply so far, `pendingEvents` what arrived while that was assembled."""
        state = _object(data.get("resumeState"))
        if state.get("responseMessageId") not in (None, self.reply_id):
            yield Failure("Another reply is being written in this conversation.")
            return
        yield from self._send_rest(_objects(state.get("aggregatedContent")))
        for step in _objects(state.get("runSteps")):
            self._calls.begin(step)
        for pending in _objects(data.get("pendingEvents")):
            if not pending.get("sync"):
                yield from self._read(pending)

    def _end(self, message: JsonObject, final: JsonObject) -> Iterator[StreamItem]:
        """The complete reply; if there is none, `final` may say that it was stopped or failed."""
        if message.get("messageId") not in (None, self.reply_id):
            yield Failure("Another reply was written in this conversation.")
            return
        content = _objects(message.get("content"))
        is_whole = not (message.get("unfinished") or message.get("error") or final.get("aborted"))
        if self._contradicts(content, is_whole=is_whole):
            self._texts, self._calls = dict.fromkeys(EVENT_OF, ""), ToolCalls(self._clock, self.servers)
            yield Replacement()
        yield from self._send_rest(content)
        yield from self._calls.announce()  # those that were cut off before they were seen to begin
        for kind, half in self._halves.items():
            yield from self._say(kind, half.end())
        yield _conclusion(content, message, final)

    def _contradicts(self, content: list[JsonObject], *, is_whole: bool) -> bool:
        """Whether the reply does not begin with what was sent.

        LibreChat may have stored less than it streamed if the reply was cut off or failed, but not if it is
        complete. Blank parts make no difference: it may drop them around tool calls.
        """
        whole = _texts_of(content)
        has_tools = any(part.get("type") == "tool_call" for part in content)
        is_whole = is_whole and not any(part.get("type") == "error" for part in content)
        for kind, sent in self._texts.items():
            stored = whole[kind]
            if not sent or not content or (kind == "think" and not stored):
                continue
            is_same = stored.startswith(sent) or _bare(stored, has_tools) == _bare(sent, has_tools)
            if not is_same and (is_whole or not sent.startswith(stored)):
                return True
        return False

    def _send_rest(self, content: list[JsonObject]) -> Iterator[Event]:
        """The part of a reply that was not sent yet, in its order; no text that contradicts what was sent."""
        seen, self._halves = {"text": "", "think": ""}, _no_halves()
        for part in content:
            kind = str(part.get("type"))
            if kind == "tool_call":
                yield from self._calls.recall(_object(part.get("tool_call")))
            elif kind in EVENT_OF:
                seen[kind] += self._halves[kind].add(_text_of(part))
                sent = self._texts[kind]
                if len(seen[kind]) > len(sent) and seen[kind].startswith(sent):
                    yield from self._say(kind, seen[kind][len(sent) :])

    def _remember(self, event: Event) -> None:
        """An event that was sent before a takeover."""
        match event:
            case TextDelta(text):
                self._texts["text"] += text
            case ReasoningDelta(text):
                self._texts["think"] += text
            case _:
                self._calls.remember(event)

    def _count(self, usage: JsonObject) -> None:
        for index, name in enumerate(("input_tokens", "output_tokens")):
            if type(usage.get(name)) is int:
                self.usage[index] += usage[name]


def _conclusion(content: list[JsonObject], message: JsonObject, final: JsonObject) -> Finish | Failure:
    failure = next((part for part in content if part.get("type") == "error"), None)
    if failure is not None:
        return Failure(sound(_text_of(failure, "error")))
    if message.get("error"):
        return Failure(sound(str(message.get("text") or NO_REASON)))
    if message.get("unfinished") or final.get("aborted"):
        return Finish("cancelled")
    if final.get("error"):
        return Failure(_error_text(_object(final["error"])))
    return Finish("stop")


def _parsed(text: str) -> JsonObject | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _error_text(data: JsonObject | None) -> str:
    """The text of an `event: error` frame; of JSON within that text, the type."""
    data = data or {}
    said = next((data[name] for name in ("error", "message", "text") if isinstance(data.get(name), str)), "")
    inner = _parsed(said)
    return sound(str(inner.get("type") or words_of(inner) or said) if inner else said) or NO_REASON


def _text_of(part: JsonObject, name: str = "") -> str:
    """A content part's text: the value of the field named like its type, sometimes nested in `value`."""
    value = part.get(name or str(part.get("type")))
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, str) else ""


def _bare(text: str, has_tools: bool) -> str:
    return "".join(text.split()) if has_tools else text.rstrip()


def _texts_of(content: list[JsonObject]) -> dict[str, str]:
    """The text and the reasoning of a reply, each joined into one."""
    halves = _no_halves()
    found = dict.fromkeys(halves, "")
    for part in content:
        kind = str(part.get("type"))
        if kind in halves:
            found[kind] += halves[kind].add(_text_of(part))
    return {kind: text + halves[kind].end() for kind, text in found.items()}


def _no_halves() -> dict[str, SoundText]:
    return {kind: SoundText() for kind in EVENT_OF}


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
