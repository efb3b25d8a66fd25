"""Tool calls of the direct engine: what the model asked for, and the answer that it gets."""

import json
import math
import time
from dataclasses import dataclass
from typing import Any

from gateway.engines.base import Event
from gateway.providers.base import JsonObject
from gateway.providers.soundness import sound


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as the model made it; `arguments` is JSON text that may be wrong."""

    id: str
    tool: str
    arguments: str

    @classmethod
    def from_wire(cls, call: JsonObject) -> "ToolCall":
        function = call["function"]
        return cls(id=call["id"], tool=function["name"], arguments=function["arguments"])

    @property
    def event(self) -> Event:
        told = {
            "call_id": self.id,
            "server": None,
            "tool": self.tool,
            "arguments": arguments_of(self.arguments),
        }
        return Event("tool_call", told)


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a tool said; an error is told to the model in words too."""

    call: ToolCall
    output: str
    is_error: bool
    duration_ms: int

    @property
    def event(self) -> Event:
        told = {"output": self.output, "is_error": self.is_error, "duration_ms": self.duration_ms}
        return Event("tool_result", {"call_id": self.call.id, **told})

    @property
    def message(self) -> JsonObject:
        return {"role": "tool", "tool_call_id": self.call.id, "content": self.output}


def arguments_of(text: str) -> Any:
    """A call's arguments as data that can be stored; what is no JSON is shown as the text it is."""
    try:
        return _storable(json.loads(text)) if text.strip() else {}
    except (ValueError, RecursionError):
        return sound(text)


def storable(value: Any) -> Any:
    """The same without what JSON escapes smuggle past `sound`, NaN and infinities; {} if it is too deep."""
    try:
        return _storable(value)
    except RecursionError:
        return {}


def _storable(value: Any) -> Any:
    """The same without what JSON's escapes can smuggle past `sound`, and without NaN and infinities."""
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {sound(name): _storable(item) for name, item in value.items()}
    return value


async def run_tool(call: ToolCall) -> ToolAnswer:
    """Runs one tool. A workspace has no MCP servers yet, so every name is one that the model made up."""
    begun = time.monotonic()
    output = f"There is no tool called {call.tool!r} here."
    spent = int((time.monotonic() - begun) * 1000)
    return ToolAnswer(call=call, output=output, is_error=True, duration_ms=spent)
