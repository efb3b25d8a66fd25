"""Makes text from providers valid for PostgreSQL and every client: no NUL, no half surrogate pairs."""

from collections import defaultdict
from collections.abc import Iterator

from gateway.providers.base import JsonObject, ModelEvent, ReasoningDelta, TextDelta, ToolCallDelta

HIGH_SURROGATES = ("\ud800", "\udbff")
REPLACEMENT = "\ufffd"


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


class SoundEvents:
    """One reply's events with valid texts: the reply, its reasoning and each tool call."""

    def __init__(self) -> None:
        self._text = SoundText()
        self._reasoning = SoundText()
        self._arguments: defaultdict[int, SoundText] = defaultdict(SoundText)

    def add(self, event: ModelEvent) -> Iterator[ModelEvent]:
        match event:
            case TextDelta(piece):
                if text := self._text.add(piece):
                    yield TextDelta(text)
            case ReasoningDelta(piece):
                if text := self._reasoning.add(piece):
                    yield ReasoningDelta(text)
            case ToolCallDelta(calls):
                yield ToolCallDelta([self._sound_call(call) for call in calls])
            case _:
                yield event

    def end(self) -> Iterator[ModelEvent]:
        """The replacements of first halves whose second never came."""
        if rest := self._reasoning.end():
            yield ReasoningDelta(rest)
        if rest := self._text.end():
            yield TextDelta(rest)
        for index, arguments in self._arguments.items():
            if rest := arguments.end():
                yield ToolCallDelta([{"index": index, "function": {"arguments": rest}}])

    def _sound_call(self, call: JsonObject) -> JsonObject:
        function = {name: sound(text) for name, text in call["function"].items() if name != "arguments"}
        if "arguments" in call["function"]:
            function["arguments"] = self._arguments[call["index"]].add(call["function"]["arguments"])
        return {name: sound(value) if name == "id" else value for name, value in call.items()} | {
            "function": function
        }
