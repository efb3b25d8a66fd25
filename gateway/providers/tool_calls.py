"""Assembles tool calls from OpenAI's streamed chunks."""

from collections.abc import Iterable

from gateway.providers.base import JsonObject


def merge_tool_calls(pieces: Iterable[list[JsonObject]]) -> list[JsonObject]:
    """The whole tool calls of streamed pieces, ordered by index."""
    whole: dict[int, JsonObject] = {}
    for piece in (piece for batch in pieces for piece in batch):
        call = whole.setdefault(
            int(piece.get("index") or 0),
            {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
        )
        call["id"] = piece.get("id") or call["id"]
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
    return [whole[index] for index in sorted(whole)]
