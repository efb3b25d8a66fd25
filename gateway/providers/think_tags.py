"""Reasoning that a server leaves in the text, between `<think>` and `</think>` at its beginning."""

from collections.abc import Iterator

from gateway.providers.base import ReasoningDelta, TextDelta

OPENING, CLOSING = "<think>", "</think>"
MOST_HELD = 1024  # characters of white space before a tag


class ThinkTags:
    """Splits a stream of text; only a tag at the very beginning counts."""

    def __init__(self) -> None:
        self._held = ""  # possibly part of a tag
        self._state = "begin"  # then "reasoning", "gap" and "text"

    def add(self, text: str) -> Iterator[TextDelta | ReasoningDelta]:
        if self._state == "text":
            yield TextDelta(text)
            return
        text, self._held = self._held + text, ""
        if self._state == "begin":
            text = self._begin(text)
        if self._state == "reasoning":
            reasoning, text = self._reasoning(text)
            if reasoning:
                yield ReasoningDelta(reasoning)
        if self._state == "gap":
            text = text.lstrip("\n")
            self._state = "text" if text else "gap"
        if self._state == "text" and text:
            yield TextDelta(text)

    def end(self) -> Iterator[TextDelta | ReasoningDelta]:
        held, self._held = self._held, ""
        if held:
            yield ReasoningDelta(held) if self._state == "reasoning" else TextDelta(held)

    def _begin(self, text: str) -> str:
        """The text after an opening tag; nothing while it is undecided whether there is one."""
        begun = text.lstrip()
        if begun.startswith(OPENING):
            self._state = "reasoning"
            return begun.removeprefix(OPENING)
        if OPENING.startswith(begun) and len(text) <= MOST_HELD:
            self._held = text
            return ""
        self._state = "text"
        return text

    def _reasoning(self, text: str) -> tuple[str, str]:
        """The reasoning, and the text after the closing tag."""
        reasoning, tag, rest = text.partition(CLOSING)
        if tag:
            self._state = "gap"
            return reasoning, rest
        held = next((n for n in range(len(CLOSING) - 1, 0, -1) if text.endswith(CLOSING[:n])), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held], ""
