"""Makes text from providers valid for PostgreSQL and every client: no NUL, no half surrogate pairs."""

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from gateway.providers.base import (
    Extra,
    JsonObject,
    ModelEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)

HIGH_SURROGATES = ("\ud800", "\udbff")
REPLACEMENT = "\ufffd"
TEXTS: tuple[type[TextDelta | ReasoningDelta | RefusalDelta], ...] = (
    ReasoningDelta,
    TextDelta,
    RefusalDelta,
)


def sound(text: str) -> str:
    """Joins surrogate pairs, and replaces characters that cannot be encoded as UTF-8 or stored."""
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return joined.replace("\0", REPLACEMENT)


class SoundText:
    """A stream of text in which an escaped emoji may be split: its first half waits for the second."""

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        text, self._half = self._half + piece, ""
        if HIGH_SURROGATES[0] <= text[-1:] <= HIGH_SURROGATES[1]:
            text, self._half = text[:-1], text[-1]
        return sound(text)

    def end(self) -> str:
        """The replacement of a first half whose second never came."""
        return REPLACEMENT if self._half else ""


def sound_value(value: Any) -> Any:
    """JSON with valid texts and numbers: NaN and infinities become None."""
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [sound_value(item) for item in value]
    if isinstance(value, dict):
        return {sound(name): sound_value(item) for name, item in value.items()}
    return value


class SoundEvents:
    """One reply's events with valid texts: the reply, its reasoning, a refusal and each tool call."""

    def __init__(self) -> None:
        self._texts = {kind: SoundText() for kind in TEXTS}
        self._calls: defaultdict[tuple[int, str, str], SoundText] = defaultdict(SoundText)

    def add(self, event: ModelEvent) -> Iterator[ModelEvent]:
        match event:
            case TextDelta() | ReasoningDelta() | RefusalDelta():
                if text := self._texts[type(event)].add(event.text):
                    yield type(event)(text)
            case ToolCallDelta(calls):
                yield ToolCallDelta([self._sound_call(call) for call in calls])
            case Extra(place, name, value):
                with suppress(RecursionError):
                    yield Extra(place, sound(name), sound_value(value))
            case _:
                yield event

    def end(self) -> Iterator[ModelEvent]:
        """The replacements of first halves whose second never came."""
        for kind, text in self._texts.items():
            if rest := text.end():
                yield kind(rest)
        for (index, kind_of_call, field), text in self._calls.items():
            if rest := text.end():
                yield ToolCallDelta([{"index": index, kind_of_call: {field: rest}}])

    def _sound_call(self, call: JsonObject) -> JsonObject:
        found: JsonObject = {}
        for name, value in call.items():
            if name in ("function", "custom"):
                found[name] = {
                    field: self._calls[call["index"], name, field].add(text)
                    if field in ("arguments", "input")
                    else sound(text)
                    for field, text in value.items()
                }
            else:
                found[name] = sound_value(value)
        return found
