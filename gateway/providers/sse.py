"""Parses server-sent events without I/O: bytes in, frames out, for any split into chunks.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
(a lone CR does not end a line: no one sends it, and it may be the first half of a CRLF).
"""

from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_LINE = 4 * 1024 * 1024
LONGEST_SILENCE = 1024 * 1024  # bytes without a frame: comments that keep connections open are short


class FrameTooLong(ValueError):
    """A frame is larger than any that a provider sends; `size` is the bytes that arrived of it."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


@dataclass(frozen=True, slots=True)
class Frame:
    """One dispatched event: its name, and its data lines joined by newlines."""

    event: str
    data: str


class FrameParser:
    """Takes chunks and yields each complete frame with data; comments and other fields are skipped."""

    def __init__(self, *, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._rest = bytearray()
        self._event = ""
        self._data: list[str] = []
        self._size = 0  # of the lines in `_data`
        self._silence = 0  # bytes since the last frame

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that this chunk completes. FrameTooLong for one beyond `longest` bytes,
        and for very many bytes without any.
        """
        self._rest += chunk
        self._silence += len(chunk)
        if b"\n" in chunk:
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                yield from self._line(bytes(line.removesuffix(b"\r")))
        if self._size + len(self._rest) > self._longest or self._silence > LONGEST_SILENCE + self._longest:
            raise FrameTooLong(self._size + len(self._rest))

    def _line(self, line: bytes) -> Iterator[Frame]:
        if not line:
            if self._data:
                self._silence = 0
                yield Frame(self._event or "message", "\n".join(self._data))
            self._event, self._data, self._size = "", [], 0
            return
        if line.startswith(b":"):
            return
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(text)
            self._size += len(line)
            if self._size > self._longest:
                raise FrameTooLong(self._size)
        elif name == b"event":
            self._event = text
