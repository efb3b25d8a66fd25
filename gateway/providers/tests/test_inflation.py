"""Compressed responses are read whole, however they are split, and never expand without a bound."""

import gzip
import zlib
from collections.abc import Iterable

import httpx
import pytest

from gateway.providers.inflation import STEP_BYTES, Inflation

TEXT = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n' * 3


def deflated(data: bytes, *, window: int = -zlib.MAX_WBITS) -> bytes:
    compressor = zlib.compressobj(wbits=window)
    return compressor.compress(data) + compressor.flush()


def inflated(encoding: str, chunks: Iterable[bytes]) -> bytes:
    inflation = Inflation(encoding)
    return b"".join(piece for chunk in chunks for piece in inflation.add(chunk))


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", TEXT),  # declared but not compressed
        ("deflate", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("GZIP", gzip.compress(TEXT, mtime=0)),
        ("x-gzip", gzip.compress(TEXT, mtime=0)),
        ("identity, gzip", gzip.compress(TEXT, mtime=0)),
        ("gzip", gzip.compress(TEXT[:9]) + gzip.compress(b"") + gzip.compress(TEXT[9:])),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"\0" * 512),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"\x1fnonsense"),
        ("gzip", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT, level=9)),
        ("deflate", zlib.compress(TEXT, level=0)),
        ("deflate", deflated(TEXT)),
        ("deflate", gzip.compress(TEXT, mtime=0)),
    ],
)
def test_a_response_is_the_same_in_one_chunk_and_byte_by_byte(encoding: str, data: bytes) -> None:
    assert inflated(encoding, [data]) == TEXT
    assert inflated(encoding, (data[at : at + 1] for at in range(len(data)))) == TEXT


def test_the_beginning_of_a_response_that_broke_off_is_read() -> None:
    assert inflated("gzip", [gzip.compress(TEXT, mtime=0)[:-8]]) == TEXT


def test_text_is_passed_on_as_soon_as_it_was_flushed() -> None:
    compressor, inflation = zlib.compressobj(wbits=16 + zlib.MAX_WBITS), Inflation("gzip")
    for word in (b"one", b"two"):
        chunk = compressor.compress(word) + compressor.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(inflation.add(chunk)) == word


@pytest.mark.parametrize("size", [STEP_BYTES, STEP_BYTES + 1, STEP_BYTES + 200, 3 * STEP_BYTES, 10**6])
def test_nothing_is_lost_between_two_pieces(size: int) -> None:
    assert inflated("gzip", [gzip.compress(b"a" * size)]) == b"a" * size


def test_a_bomb_is_inflated_piece_by_piece_as_it_is_asked_for() -> None:
    """The reader counts each piece before the next is made, so it can stop at any size."""
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 60_000
    pieces = Inflation("gzip").add(bomb)
    assert [len(next(pieces)) for _ in range(3)] == [STEP_BYTES] * 3
    assert (
        max(len(piece) for piece in Inflation("deflate").add(zlib.compress(b"\0" * 1_000_000))) == STEP_BYTES
    )


@pytest.mark.parametrize(
    "plain",
    [
        b'{"a": 1}',
        b"\n\n: ping\n\n",
        b"<!DOCTYPE html>",
        b"\xef\xbb\xbfdata: x",
        b"retry: 10\n\n",
    ],
)
def test_a_response_that_only_claims_to_be_compressed_is_read(plain: bytes) -> None:
    for encoding in ("gzip", "deflate"):
        assert inflated(encoding, [plain]) == plain
        assert inflated(encoding, (plain[at : at + 1] for at in range(len(plain)))) == plain
        assert inflated(encoding, [b"Internal error: no worker"]) == b"Internal error: no worker"


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "nonsense"])
def test_another_encoding_is_an_error(encoding: str) -> None:
    with pytest.raises(httpx.DecodingError):
        Inflation(encoding)


@pytest.mark.parametrize("data", [b"\x1f\x8b\x00garbage", gzip.compress(TEXT, mtime=0)[:20] + b"!" * 99])
def test_invalid_data_is_an_error(data: bytes) -> None:
    with pytest.raises(httpx.DecodingError):
        inflated("gzip", [data])
