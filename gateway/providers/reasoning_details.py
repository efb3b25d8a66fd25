"""Joins streamed `reasoning_details`, which a provider wants back unchanged (`Extra` describes them)."""

from collections.abc import Iterable
from typing import Any

from gateway.providers.base import Extra, JsonObject, ModelEvent, ReasoningDelta
from gateway.providers.garbled import objects

NAME = "reasoning_details"
GROWING = ("text", "summary", "data")


class ReturnedReasoning:
    """Collects an answer's reasoning as fields of the message that goes back to its model."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._details: list[Any] = []

    def take_in(self, event: ModelEvent) -> None:
        match event:
            case ReasoningDelta(text):
                self._texts.append(text)
            case Extra("message", name, value) if name == NAME:
                self._details.append(value)

    def fields(self) -> JsonObject:
        """Without fields that would be empty."""
        fields = {"reasoning_content": "".join(self._texts), NAME: join_details(self._details)}
        return {name: value for name, value in fields.items() if value}


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
