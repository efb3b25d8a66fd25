"""Joins streamed `reasoning_details`, which a provider wants back unchanged (`Extra` describes them)."""

from collections.abc import Iterable
from typing import Any

from gateway.providers.base import JsonObject
from gateway.providers.garbled import objects

NAME = "reasoning_details"
GROWING = ("text", "summary", "data")


def join_details(pieces: Iterable[Any]) -> list[JsonObject]:
    """One entry for each index and type: texts are joined, other fields have their last value."""
    whole: dict[tuple[Any, Any], JsonObject] = {}
    for number, piece in enumerate(detail for batch in pieces for detail in objects(batch)):
        key = (piece.get("index", f"#{number}"), piece.get("type"))
        entry = whole.get(key)
        whole[key] = dict(piece) if entry is None else _joined(entry, piece)
    return list(whole.values())


def _joined(entry: JsonObject, piece: JsonObject) -> JsonObject:
    news = {name: value for name, value in piece.items() if value is not None}
    texts = {
        name: entry[name] + news[name]
        for name in GROWING
        if isinstance(entry.get(name), str) and isinstance(news.get(name), str)
    }
    return {**entry, **news, **texts}
