"""The replay's only MCP server: `add` adds two numbers, `fail` always fails."""

import json
from typing import Any

from gateway.tests.replayed_librechat.answers import Json

SCHEMAS: dict[str, Json] = {
    "add": {
        "description": "Add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"a": {"title": "A", "type": "number"}, "b": {"title": "B", "type": "number"}},
            "required": ["a", "b"],
            "title": "addArguments",
        },
    },
    "fail": {
        "description": "Always fails",
        "parameters": {
            "type": "object",
            "properties": {"reason": {"title": "Reason", "type": "string"}},
            "required": ["reason"],
            "title": "failArguments",
        },
    },
}


def offered(servers: list[str]) -> list[Json]:
    """The tools of these servers in the format of a model call: `add_mcp_calc`, …"""
    return [
        {"type": "function", "function": {"name": f"{tool}_mcp_{server}", **schema}}
        for server in servers
        for tool, schema in SCHEMAS.items()
    ]


def run(name: str, arguments: str, tools: list[Json]) -> str:
    """A tool's output; a failure is an output too."""
    if name not in [tool["function"]["name"] for tool in tools]:
        return f'Error processing tool: Tool "{name}" not found.'
    if name.startswith("fail_mcp_"):
        return "Error executing tool fail"
    try:
        given = parsed(arguments)
        return str(float(given["a"]) + float(given["b"]))
    except (KeyError, TypeError, ValueError):
        return "Error: Received tool input did not match expected schema"


def parsed(arguments: str) -> Any:
    """The arguments as JSON; invalid JSON is returned as text."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments
