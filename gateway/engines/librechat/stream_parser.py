"""LibreChat's stream of one reply as our events: no I/O, so any recording can be played through it.

A stream may be read from its middle (`?resume=true`): then its first frame tells the reply so far, of which
only what is new becomes events. The whole reply at the end is authoritative: where the stream said otherwise,
`replace` withdraws it and the reply is told again. Frames: PROTOCOL's table, and what its recordings show.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.engines.base import Event, Finished
from gateway.engines.librechat.error_text import words_of
from gateway.engines.librechat.registrations import KnownServer
from gateway.engines.librechat.tools import ToolCalls
from gateway.providers.base import JsonObject
from gateway.providers.soundness import SoundText, sound
from gateway.providers.sse import Frame

EVENT_OF = {"text": "delta", "think": "reasoning"}
KIND_OF_PART = {"text": "text", "reasoning": "think"}  # our stored parts, in LibreChat's words
REPLACE = "replace"
NO_REASON = "LibreChat gave no reason."
SAVED = re.compile(r"reconnect|saved response|generation state changed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Failure:
    """The reply ended badly, in LibreChat's own words; `never_began`: nothing of it is stored there."""

    text: str
    never_began: bool = False

    @property
    def is_stored(self) -> bool:
        """LibreChat lost the stream, and refers to the reply that it has stored."""
        return self.never_began and bool(SAVED.search(self.text))


Read = Event | Finished | Failure


class Reading:
    """Reads the frames of one reply; after a Finished or a Failure there is nothing more to read."""

    def __init__(
        self,
        reply_id: UUID,
        told: Iterable[JsonObject] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reply_id = str(reply_id)
        self.usage = [0, 0]  # what LibreChat says was used, in and out: a cross-check, never a bill
        self._texts = {"text": "", "think": ""}
        self._halves = _no_halves()
        self.servers: dict[str, KnownServer] = {}  # by what LibreChat calls them
        self._clock = clock
        self._calls = ToolCalls(clock, self.servers)
        for part in told:
            self._remember(part)

    def read(self, frame: Frame) -> Iterator[Read]:
        """What one frame means; one that we do not know means nothing."""
        data = _parsed(frame.data)
        if frame.event == "error":
            yield Failure(_words(data), never_began=True)
        elif data is not None:
            yield from self._read(data)

    def remember_call(self, call_id: str) -> bool:
        """Notes that a tool call is told elsewhere; False where it was told before."""
        return self._calls.note_told(call_id)

    def read_stored(self, message: JsonObject) -> Iterator[Read]:
        """The same of a reply as LibreChat stored it, for a stream that ended unseen."""
        yield from self._end(message, {})

    def _read(self, data: JsonObject) -> Iterator[Read]:
        if data.get("final"):
            yield from self._end(_object(data.get("responseMessage")), data)
        elif data.get("sync"):
            yield from self._catch_up(data)
        else:
            yield from self._step(data)

    def _step(self, data: JsonObject) -> Iterator[Read]:
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
            yield Event(EVENT_OF[kind], {"text": text})

    def _catch_up(self, data: JsonObject) -> Iterator[Read]:
        """`aggregatedContent` is the reply so far, `pendingEvents` what came while that was put together."""
        state = _object(data.get("resumeState"))
        if state.get("responseMessageId") not in (None, self.reply_id):
            yield Failure("Another reply is being written in this conversation.")
            return
        yield from self._tell_rest(_objects(state.get("aggregatedContent")))
        for step in _objects(state.get("runSteps")):
            self._calls.begin(step)
        for pending in _objects(data.get("pendingEvents")):
            if not pending.get("sync"):
                yield from self._read(pending)

    def _end(self, message: JsonObject, final: JsonObject) -> Iterator[Read]:
        """A reply as a whole; where there is none, `final` may say that it was stopped or failed."""
        if message.get("messageId") not in (None, self.reply_id):
            yield Failure("Another reply was written in this conversation.")
            return
        content = _objects(message.get("content"))
        is_whole = not (message.get("unfinished") or message.get("error") or final.get("aborted"))
        if self._contradicts(content, is_whole=is_whole):
            self._texts, self._calls = dict.fromkeys(EVENT_OF, ""), ToolCalls(self._clock, self.servers)
            yield Event(REPLACE)
        yield from self._tell_rest(content)
        yield from self._calls.announce()  # those that were cut off before they were seen to begin
        for kind, half in self._halves.items():
            yield from self._say(kind, half.end())
        failure = next((part for part in content if part.get("type") == "error"), None)
        if failure is not None:
            yield Failure(sound(_text_of(failure, "error")))
        elif message.get("error"):
            yield Failure(sound(str(message.get("text") or NO_REASON)))
        elif message.get("unfinished") or final.get("aborted"):
            yield Finished("cancelled")
        elif final.get("error"):
            yield Failure(_words(_object(final["error"])))
        else:
            yield Finished("stop")

    def _contradicts(self, content: list[JsonObject], *, is_whole: bool) -> bool:
        """Whether what was told is not how this reply begins.

        Of a reply that was cut off or failed, LibreChat may have stored less than it streamed; of a whole one
        not. Blank parts, which it may drop around tool calls, make no difference.
        """
        whole = _texts_of(content)
        has_tools = any(part.get("type") == "tool_call" for part in content)
        is_whole = is_whole and not any(part.get("type") == "error" for part in content)
        for kind, told in self._texts.items():
            says = whole[kind]
            if not told or not content or (kind == "think" and not says):
                continue
            is_same = says.startswith(told) or _bare(says, has_tools) == _bare(told, has_tools)
            if not is_same and (is_whole or not told.startswith(says)):
                return True
        return False

    def _tell_rest(self, content: list[JsonObject]) -> Iterator[Event]:
        """What of a whole reply was not told yet, in its order; nothing where it tells another story."""
        seen, self._halves = {"text": "", "think": ""}, _no_halves()
        for part in content:
            kind = str(part.get("type"))
            if kind == "tool_call":
                yield from self._calls.recall(_object(part.get("tool_call")))
            elif kind in EVENT_OF:
                seen[kind] += self._halves[kind].add(_text_of(part))
                told = self._texts[kind]
                if len(seen[kind]) > len(told) and seen[kind].startswith(told):
                    yield from self._say(kind, seen[kind][len(told) :])

    def _remember(self, part: JsonObject) -> None:
        """A part of the reply that was told before, as the turn stored it."""
        kind = KIND_OF_PART.get(part["type"])
        if kind:
            self._texts[kind] += part["text"]
        else:
            self._calls.remember(part)

    def _count(self, usage: JsonObject) -> None:
        for place, name in enumerate(("input_tokens", "output_tokens")):
            if type(usage.get(name)) is int:
                self.usage[place] += usage[name]


def _parsed(text: str) -> JsonObject | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _words(data: JsonObject | None) -> str:
    """What an `event: error` frame says: a text, or JSON in a text, whose type is what matters."""
    data = data or {}
    said = next((data[name] for name in ("error", "message", "text") if isinstance(data.get(name), str)), "")
    inner = _parsed(said)
    return sound(str(inner.get("type") or words_of(inner) or said) if inner else said) or NO_REASON


def _text_of(part: JsonObject, name: str = "") -> str:
    """A content part's text, which stands under the part's own type, at times within `value`."""
    value = part.get(name or str(part.get("type")))
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, str) else ""


def _bare(text: str, has_tools: bool) -> str:
    return "".join(text.split()) if has_tools else text.rstrip()


def _texts_of(content: list[JsonObject]) -> dict[str, str]:
    """All texts and all thoughts of a reply, each as one."""
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
