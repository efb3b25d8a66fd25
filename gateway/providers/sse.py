"""Server-sent events without I/O: bytes in, data texts out, wherever the chunks were cut.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from collections.abc import Iterator

LONGEST_LINE = 4 * 1024 * 1024


class FrameTooLong(ValueError):
    """A line grew beyond anything a provider sends; the stream is not to be trusted."""


class DataParser:
    """Feeds on chunks and gives the `data` of each complete event; comments and other fields are skipped."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[str]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise FrameTooLong
        for line in lines:
            yield from self._line(line.rstrip(b"\r"))

    def _line(self, line: bytes) -> Iterator[str]:
        if not line:
            if self._data:
                yield "\n".join(self._data)
            self._data = []
        elif line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" ").decode("utf-8", "replace"))
