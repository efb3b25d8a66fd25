"""Parses a provider's stream without I/O: bytes in, frames out, for any split into chunks.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

Read liberally, since many servers write it by hand: the last frame may lack its blank line, frames may follow
each other without one, and lines may be JSON without a field name, or one JSON document in place of a stream.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_LINE = 4 * 1024 * 1024
LONGEST_SILENCE = 1024 * 1024  # bytes without a frame: comments that keep connections open are short
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DONE = "[DONE]"
BODY = "body"  # the event of a frame that had no field name
FIELDS = (b"data:", b"event:")
MOST_TRIES = 8  # to find the end of a JSON document that has several lines


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
        self._is_at_start = True
        self._ended_with_cr = False
        self._event = ""
        self._data: list[str] = []
        self._size = 0  # of the lines in `_data`
        self._document: list[str] = []  # lines of JSON without a field name
        self._tries = 0
        self._silence = 0  # bytes since the last frame

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that this chunk completes. FrameTooLong for one beyond `longest` bytes,
        and for too many bytes without any frame.
        """
        self._silence += len(chunk)
        chunk = self._with_line_feeds(chunk)
        self._rest += chunk
        if self._is_at_start and not self._skip_marks():
            return
        if b"\n" in chunk:
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                yield from self._line(bytes(line))
        if self._size + len(self._rest) > self._longest or self._silence > LONGEST_SILENCE + self._longest:
            raise FrameTooLong(self._size + len(self._rest))

    def end(self) -> Iterator[Frame]:
        """The frame that the end of the stream completes, if there is one."""
        rest, self._rest = bytes(self._rest), bytearray()
        yield from self._line(rest)
        yield from self._dispatch()
        if self._document:
            yield from self._whole_document()

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        """Each line end as one LF: it may be CR, or CRLF (perhaps split across chunks)."""
        if self._ended_with_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._ended_with_cr = False
        if b"\r" in chunk:
            self._ended_with_cr = chunk.endswith(b"\r")
            return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _skip_marks(self) -> bool:
        """False while the first bytes may still become a byte order mark."""
        while self._rest.startswith(BYTE_ORDER_MARK):
            del self._rest[:3]
        self._is_at_start = len(self._rest) < 3 and BYTE_ORDER_MARK.startswith(self._rest)
        return not self._is_at_start

    def _line(self, line: bytes) -> Iterator[Frame]:
        if self._document and line.startswith(FIELDS):  # after all a log line, or half a document
            yield from self._whole_document()
        if not line:
            yield from self._dispatch()
        elif self._document or line.lstrip()[:1] in (b"{", b"["):
            yield from self._document_line(line.decode("utf-8", "replace"))
        elif not line.startswith(b":"):
            name, _, value = line.partition(b":")
            yield from self._field(name.strip().lower(), value.removeprefix(b" ").decode("utf-8", "replace"))

    def _field(self, name: bytes, value: str) -> Iterator[Frame]:
        if name in (b"data", b"event") and len(self._data) == 1 and _is_whole(self._data[0]):
            yield from self._dispatch()  # the blank line between them is missing
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._longest:
                raise FrameTooLong(self._size)
            if value.strip() == DONE:
                yield from self._dispatch()
        elif name == b"event":
            self._event = value.strip()

    def _dispatch(self) -> Iterator[Frame]:
        data, event = "\n".join(self._data), self._event
        self._event, self._data, self._size = "", [], 0
        if data.strip():
            self._silence = 0
            yield Frame(event or "message", data)

    def _document_line(self, line: str) -> Iterator[Frame]:
        """A line of a document; it is dispatched as soon as it is whole."""
        self._document.append(line)
        self._size += len(line)
        if self._size > self._longest:
            raise FrameTooLong(self._size)
        may_end = line.rstrip() in ("}", "]") or (len(self._document) == 1 and _has_both_ends(line))
        if may_end and self._tries < MOST_TRIES:
            self._tries += 1
            if _is_json("\n".join(self._document)):
                yield from self._whole_document()

    def _whole_document(self) -> Iterator[Frame]:
        data = "\n".join(self._document)
        self._document, self._size, self._tries, self._silence = [], 0, 0, 0
        yield Frame(BODY, data)


def _is_whole(data: str) -> bool:
    return data.strip() == DONE or (_has_both_ends(data) and _is_json(data))


def _has_both_ends(text: str) -> bool:
    text = text.strip()
    return text[:1] + text[-1:] in ("{}", "[]")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
