"""The arguments of one tool call, streamed as text, even if a server repeats or encodes them twice."""

import json
import re
from typing import Any

IN_STRING, OUTSIDE = re.compile(r'["\\]'), re.compile(r'["{}\[\]]')
MOST_READ = 256 * 1024  # characters of an object; beyond it, text is passed on unread
MOST_HELD = 64 * 1024  # characters of a JSON string or white space; as above
LONGEST_NULL = 64  # characters, with its white space
EXPECTS_VALUE = frozenset(":[,")  # after these an object may begin within an object


class ArgumentText:
    """Passes on the text of one JSON object, once.

    Some servers repeat everything at the end, or everything so far in each piece; some models encode the
    object as a JSON string, or send `null` for none.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self._pieces: list[str] = []
        self._size = 0  # of the pieces
        self._held: list[str] = []  # white space, `null`, or a JSON string
        self._held_size = 0
        self._first = ""  # the first character that is not white space
        self._depth = 0
        self._is_string = self._is_escaped = False
        self._last = ""  # the last character that is not white space, outside strings
        self._whole = ""  # once it is complete

    def add(self, piece: Any) -> str:
        """The new part of the text; arguments sent as an object become text."""
        if piece is None:
            return ""
        if not isinstance(piece, str):
            piece = json.dumps(piece, ensure_ascii=False)
        if self.is_complete:
            return ""
        if self._pieces:
            return self._next(self._without_repetition(piece))
        self._held.append(piece)
        self._held_size += len(piece)
        self._first = self._first or piece.lstrip()[:1]
        if self._waits():
            return ""
        held, self._held = "".join(self._held), []
        return self._next(held)

    def repeats(self, piece: Any) -> bool:
        """Whether the piece repeats a complete call's arguments."""
        return isinstance(piece, str) and self.is_complete and piece.strip() in ("", self._whole)

    def end(self) -> str:
        """The text held back, as that of an object: `{}` for nothing."""
        held, self._held = "".join(self._held), []
        if self._pieces:
            return ""
        text = _object_in(held)
        self._pieces.append(text)
        return text

    def _waits(self) -> bool:
        """Whether the held text may still become an encoded object, or `null`."""
        if self._first == "n":
            return self._held_size <= LONGEST_NULL and "null".startswith("".join(self._held).strip())
        return self._first in ("", '"') and self._held_size <= MOST_HELD

    def _without_repetition(self, piece: str) -> str:
        """Only the new part of a piece that begins with everything received.

        Where a value is expected, the same text may be a nested object instead.
        """
        if not piece.startswith("{") or (self._last in EXPECTS_VALUE and not self._is_string):
            return piece
        if len(piece) < self._size or self._size < 2:
            return piece
        before = "".join(self._pieces)
        return piece[self._size :] if piece.startswith(before) else piece

    def _next(self, piece: str) -> str:
        """Up to the end of the object."""
        at = 0
        while at < len(piece) and not self.is_complete and self._is_read(at):
            at = self._after_next(piece, at)
        if self.is_complete:
            piece = piece[:at]
        if piece:
            self._pieces.append(piece)
        self._size += len(piece)
        if self.is_complete:
            self._whole = "".join(self._pieces).strip()
        return piece

    def _is_read(self, at: int) -> bool:
        return self._first == "{" and self._size + at <= MOST_READ

    def _after_next(self, piece: str, at: int) -> int:
        """The position after the next character that opens or closes something."""
        if self._is_escaped:
            self._is_escaped = False
            return at + 1
        found = (IN_STRING if self._is_string else OUTSIDE).search(piece, at)
        end = found.end() if found else len(piece)
        if not self._is_string and (passed := piece[at:end].rstrip()):
            self._last = passed[-1]
        match found[0] if found else "":
            case "\\":
                self._is_escaped = True
            case '"':
                self._is_string = not self._is_string
            case "{" | "[":
                self._depth += 1
            case "}" | "]":
                self._depth -= 1
                self.is_complete = self._depth == 0
        return end


def _object_in(text: str) -> str:
    """The JSON object in a text, perhaps encoded as a JSON string; any other text unchanged."""
    value: Any = text.strip() or None
    for _ in range(2):
        if isinstance(value, str) and value:
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return text
    if value is None or value == "":
        return "{}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else text
