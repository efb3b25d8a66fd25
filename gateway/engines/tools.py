"""Tool calls of the direct engine: what the model asked for, and the answer that it gets."""

import json
import time
from dataclasses import dataclass
from typing import Any

from gateway.engines.base import Event
from gateway.providers.base import JsonObject


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
    """A call's arguments as data; what is no JSON is shown as the text it is."""
    try:
        return json.loads(text) if text.strip() else {}
    except ValueError:
        return text


async def run_tool(call: ToolCall) -> ToolAnswer:
    """Runs one tool. A workspace has no MCP servers yet, so every name is one that the model made up."""
    begun = time.monotonic()
    output = f"There is no tool called {call.tool!r} here."
    spent = int((time.monotonic() - begun) * 1000)
    return ToolAnswer(call=call, output=output, is_error=True, duration_ms=spent)
