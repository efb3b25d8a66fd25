"""Assembles tool calls from the pieces of `ToolCallDelta`."""

from collections.abc import Iterable
from typing import Any

from gateway.providers.base import JsonObject

KINDS = ("function", "custom")
GROWING = {"arguments", "input"}


def merge_tool_calls(pieces: Iterable[list[JsonObject]]) -> list[JsonObject]:
    """The whole tool calls of streamed pieces, ordered by index, with the provider's own fields."""
    whole: dict[int, JsonObject] = {}
    for piece in (piece for batch in pieces for piece in batch):
        call = whole.setdefault(int(piece.get("index") or 0), {})
        for name, value in piece.items():
            if name in KINDS and isinstance(value, dict):
                call[name] = _joined(call.get(name, {}), value)
            elif name != "index" and value not in (None, ""):
                call[name] = value
    return [_complete(whole[index]) for index in sorted(whole)]


def tool_name(tool: JsonObject) -> str:
    """Of a tool's definition; empty for one of Anthropic's own without a name."""
    named = tool.get("function") or tool.get("custom") or tool
    return str(named.get("name") or "") if isinstance(named, dict) else ""


def name_and_arguments(call: JsonObject) -> tuple[str, str]:
    """Of a whole call; a custom tool's input is its arguments."""
    function, custom = call.get("function") or {}, call.get("custom") or {}
    name = function.get("name") or custom.get("name") or ""
    return name, function.get("arguments") or custom.get("input") or ""


def _joined(before: JsonObject, value: JsonObject) -> JsonObject:
    texts = {name: before.get(name, "") + (value[name] or "") for name in GROWING & value.keys()}
    others = {name: inner for name, inner in value.items() if name not in GROWING and inner}
    return {**before, **others, **texts}


def _complete(call: JsonObject) -> JsonObject:
    head = {"id": call.get("id", ""), "type": call.get("type", "function")}
    if call.get("custom") and "function" not in call:
        body: dict[str, Any] = {"custom": {"name": "", "input": "", **call["custom"]}}
    else:
        body = {"function": {"name": "", "arguments": "", **call.get("function", {})}}
    return {**call, **head, **body}
