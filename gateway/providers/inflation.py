"""Decompresses a response in bounded steps: a few bytes may expand to gigabytes."""

import re
import zlib
from collections.abc import Iterator

import httpx

STEP_BYTES = 64 * 1024
ANY_HEADER = 32 + zlib.MAX_WBITS  # detects gzip or zlib
NO_HEADER = -zlib.MAX_WBITS
# How JSON, event streams and pages begin; compressed data almost never begins like this.
JSON = (b'{"', b"{}", b"{\n", b"{\r", b"{ ", b" {", b"\n{", b"[{", b'["', b"[]")
LINES = (b"da", b"ev", b"id", b"re", b": ", b":p", b":\n", b":\r", b"\n\n", b"\r\n", b"  ", b"\n ", b"\nd")
PLAIN = {*JSON, *LINES, b"<!", b"<h", b"<H", b"<?", b"\xef\xbb"}
TEXT = re.compile(rb"[\t\n\r -~]+")
SAMPLE = 16  # bytes
NAMES = {"gzip", "x-gzip", "deflate"}
GZIP = b"\x1f\x8b"


class Inflation:
    """The plain bytes of a response with this Content-Encoding, in pieces of at most STEP_BYTES.

    Each piece is counted before the next is made. httpx.DecodingError for another encoding, and for invalid
    data.
    """

    def __init__(self, encoding: str) -> None:
        names = [name for name in encoding.lower().replace(",", " ").split() if name != "identity"]
        if len(names) > 1 or set(names) - NAMES:
            raise httpx.DecodingError(f"compressed as {encoding[:40]} although not requested")
        self._kind = "compressed" if names else "plain"
        self._inflater = zlib.decompressobj(ANY_HEADER)
        self._is_within = self._is_later = self._is_over = (
            False  # in a member; after the first began; after the last
        )
        self._held = b""  # half of a member's header

    def add(self, chunk: bytes) -> Iterator[bytes]:
        if self._kind == "plain":
            yield chunk
            return
        chunk, self._held = self._held + chunk, b""
        if not self._is_later and len(chunk) >= len(GZIP) and _is_text(chunk):
            self._kind = "plain"  # some servers name an encoding and do not use it
            yield chunk
            return
        while chunk and (self._is_within or self._begins(chunk)):
            yield from self._inflated(chunk)
            chunk = self._inflater.unused_data
            self._is_within = not self._inflater.eof

    def _begins(self, chunk: bytes) -> bool:
        """Whether a member begins here; anything after the last one, such as zeros, is ignored."""
        if len(chunk) < len(GZIP):
            self._held = chunk
            return False
        self._is_over = self._is_over or (self._is_later and not chunk.startswith(GZIP))
        if self._is_over:
            return False
        self._inflater = zlib.decompressobj(ANY_HEADER if _has_header(chunk) else NO_HEADER)
        self._is_within = self._is_later = True
        return True

    def _inflated(self, chunk: bytes) -> Iterator[bytes]:
        """The pieces of this member, until it or the chunk ends."""
        has_more = True
        while has_more:
            try:
                piece = self._inflater.decompress(chunk, STEP_BYTES)
            except zlib.error as exc:
                raise httpx.DecodingError("invalid compressed data") from exc
            if piece:
                yield piece
            chunk = self._inflater.unconsumed_tail
            # What has been read may expand to more than one piece.
            has_more = not self._inflater.eof and (bool(chunk) or len(piece) == STEP_BYTES)


def _is_text(chunk: bytes) -> bool:
    """By its first two bytes, or by several more: the first two of compressed data may be letters."""
    sample = chunk[:SAMPLE]
    return chunk[:2] in PLAIN or (len(sample) == SAMPLE and TEXT.fullmatch(sample) is not None)


def _has_header(chunk: bytes) -> bool:
    """Some servers send `deflate` without zlib's header (RFC 1950, 2.2)."""
    return chunk.startswith(GZIP) or (
        chunk[0] & 15 == zlib.DEFLATED and (chunk[0] * 256 + chunk[1]) % 31 == 0
    )
