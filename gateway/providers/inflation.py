"""Decompresses a response in bounded steps: a few bytes may expand to gigabytes."""

import zlib
from collections.abc import Iterator

import httpx

STEP_BYTES = 64 * 1024
ANY_HEADER = 32 + zlib.MAX_WBITS  # gzip or zlib, whichever comes
NO_HEADER = -zlib.MAX_WBITS
PLAIN_STARTS = (b"{", b"[", b":", b"d", b"e", b"i", b"r", b"<")  # of JSON, an event stream or a page
NAMES = {"gzip", "x-gzip", "deflate"}


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
        self._is_at_start = True

    def add(self, chunk: bytes) -> Iterator[bytes]:
        if self._kind == "plain":
            yield chunk
            return
        while chunk:
            piece = self._inflate(chunk)
            if piece:
                yield piece
            if self._kind == "plain":
                return
            chunk = self._inflater.unconsumed_tail
            if self._inflater.eof:
                chunk = self._inflater.unused_data
                self._inflater = zlib.decompressobj(ANY_HEADER)

    def _inflate(self, chunk: bytes) -> bytes:
        is_first, self._is_at_start = self._is_at_start, False
        try:
            return self._inflater.decompress(chunk, STEP_BYTES)
        except zlib.error as exc:
            if not is_first:
                raise httpx.DecodingError("invalid compressed data") from exc
        if chunk[:1].isascii() and (chunk[:1].isspace() or chunk[:1] in PLAIN_STARTS):
            self._kind = "plain"  # some servers name an encoding and do not use it
            return chunk
        self._inflater = zlib.decompressobj(NO_HEADER)  # some servers send `deflate` without a header
        try:
            return self._inflater.decompress(chunk, STEP_BYTES)
        except zlib.error as exc:
            raise httpx.DecodingError("invalid compressed data") from exc
