"""Parses a large JSON object piece by piece, so that other tasks can run meanwhile."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from typing import Any

from gateway.providers.base import JsonObject

MOST_BUSY_SECONDS = 0.005  # of the event loop, plus one piece
LONGEST_PIECE = 512 * 1024  # characters, which take 10 ms; a vector of 8192 numbers has 200,000
MOST_PIECES = 10_000  # members and items: each takes 20 µs, since LONGEST_PIECE characters are copied
SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()


async def parse_in_pieces(text: str, *, listed: str) -> tuple[JsonObject, list[Any]]:
    """The object without its member `listed`, and the items of that list.

    A list with numbers by the million would otherwise stop the event loop for seconds. ValueError or
    RecursionError if the text is not a JSON object, has more than MOST_PIECES members and items, or has one
    longer than LONGEST_PIECE.
    """
    rest: JsonObject = {}
    items: list[Any] = []
    since = time.monotonic()
    for position, (name, value, is_item) in enumerate(_pieces(text, listed)):
        if position >= MOST_PIECES:
            raise ValueError(f"more than {MOST_PIECES} members and items")
        if is_item:
            items.append(value)
        else:
            rest[name] = value
        if time.monotonic() - since > MOST_BUSY_SECONDS:
            await asyncio.sleep(0)
            since = time.monotonic()
    return rest, items


def _pieces(text: str, listed: str) -> Iterator[tuple[str, Any, bool]]:
    """Each member with its name; if `listed` is a list, each of its items separately."""
    at = _after(text, _skip(text, 1 if text.startswith("\ufeff") else 0), "{")
    while text[at : at + 1] != "}":
        name, at = _decode(text, at)
        at = _after(text, _skip(text, at), ":")
        if name == listed and text[at : at + 1] == "[":
            at = _after(text, at, "[")
            while text[at : at + 1] != "]":
                value, at = _decode(text, at)
                yield listed, value, True
                at = _next(text, at, "]")
            at += 1
        else:
            value, at = _decode(text, at)
            yield str(name), value, False
        at = _next(text, at, "}")


def _decode(text: str, at: int) -> tuple[Any, int]:
    """One value, and the position after it; ValueError if it is too long."""
    value, size = DECODER.raw_decode(text[at : at + LONGEST_PIECE])
    return value, at + size


def _next(text: str, at: int, end: str) -> int:
    """The position of the next piece, or of the `end` if there is none."""
    at = _skip(text, at)
    return at if text[at : at + 1] == end else _after(text, at, ",")


def _after(text: str, at: int, character: str) -> int:
    if text[at : at + 1] != character:
        raise ValueError(f"{character} expected at {at}")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at
