"""The arguments of one tool call, streamed as text, however a server repeats or wraps them."""

import json
from typing import Any

EXPECTS_VALUE = frozenset(":[,")  # after these an object may begin within an object


class ArgumentText:
    """Passes on the text of one JSON object, once.

    Some servers repeat all of it at the end, or send all of it so far in each piece; some models write the
    object as a JSON text within the JSON, or `null` for none.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self._pieces: list[str] = []
        self._held: list[str] = []  # does not begin as an object does, or has not begun
        self._depth = 0
        self._is_string = self._is_escaped = False
        self._last = ""  # the last character that is not white space, outside strings

    @property
    def has_begun(self) -> bool:
        return bool(self._pieces or self._held)

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def add(self, piece: Any) -> str:
        """The new part of the text; arguments that come as an object become text."""
        if piece is None:
            return ""
        if not isinstance(piece, str):
            piece = json.dumps(piece, ensure_ascii=False)
        if self.is_complete:
            return ""
        if self._pieces:
            return self._next(self._without_repetition(piece))
        self._held.append(piece)
        held = "".join(self._held) if piece.strip() else ""
        if not held.lstrip().startswith("{"):
            return ""
        self._held = []
        return self._next(held)

    def repeats(self, piece: Any) -> bool:
        """Whether a complete call's arguments come again."""
        return isinstance(piece, str) and self.is_complete and piece.strip() in ("", self.text.strip())

    def end(self) -> str:
        """What was held back as an object's text: `{}` for nothing."""
        held, self._held = "".join(self._held), []
        if self._pieces:
            return ""
        text = _object_in(held)
        self._pieces.append(text)
        return text

    def _without_repetition(self, piece: str) -> str:
        """Only what is new in a piece that begins with all that has come.

        Where a value is expected, the same text may come again as a nested object.
        """
        if not piece.startswith("{") or (self._last in EXPECTS_VALUE and not self._is_string):
            return piece
        before = self.text
        return piece[len(before) :] if len(before) > 1 and piece.startswith(before) else piece

    def _next(self, piece: str) -> str:
        for at, character in enumerate(piece):
            self._step(character)
            if self.is_complete:
                piece = piece[: at + 1]
                break
        self._pieces.append(piece)
        return piece

    def _step(self, character: str) -> None:
        if self._is_string:
            if self._is_escaped:
                self._is_escaped = False
            elif character == "\\":
                self._is_escaped = True
            elif character == '"':
                self._is_string = False
            return
        if character == '"':
            self._is_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            self.is_complete = self._depth == 0
        if not character.isspace():
            self._last = character


def _object_in(text: str) -> str:
    """The JSON object that a text holds, perhaps as a JSON text itself; any other text unchanged."""
    value: Any = text.strip() or None
    for _ in range(2):
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return text
    if value is None or value == "":
        return "{}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else text
