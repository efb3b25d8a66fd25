"""Which JSON Schemas the local model may follow: llama.cpp turns them into grammars, at any cost.

A pattern of thirty characters with nested repetitions blocks its server for minutes, for everyone.
"""

from collections.abc import Iterator
from typing import Any

from gateway.providers.base import JsonObject
from kit.errors import InvalidInput

MOST_NODES = 300
DEEPEST = 8
MOST_REPEATS = 100
PATTERNS = ("pattern", "patternProperties")
REPEATS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
REFERENCES = ("$ref", "$dynamicRef")


def check_format(response_format: Any) -> None:
    """InvalidInput for a schema that llama.cpp cannot turn into a grammar quickly."""
    if not isinstance(response_format, dict):
        return
    named = response_format.get("json_schema")
    schemas = [response_format.get("schema"), named.get("schema") if isinstance(named, dict) else None]
    for schema in schemas:
        if problem := costly_part(schema):
            raise InvalidInput(response_format=[f"The local model cannot follow this schema: {problem}."])


def affordable_tools(tools: list[JsonObject]) -> list[JsonObject]:
    """The tools; one with a costly schema accepts any object, and its arguments are checked when it runs."""
    return [_affordable(tool) for tool in tools]


def _affordable(tool: JsonObject) -> JsonObject:
    function = tool.get("function")
    if not isinstance(function, dict) or not costly_part(function.get("parameters")):
        return tool
    return {**tool, "function": {**function, "parameters": {"type": "object"}}}


def costly_part(schema: Any) -> str:
    """Why a schema is too expensive; empty if it is not."""
    for number, (node, depth) in enumerate(_nodes(schema), start=1):
        if number > MOST_NODES or depth > DEEPEST:
            return f"use at most {MOST_NODES} parts, {DEEPEST} levels deep"
        if isinstance(node, dict):
            if any(isinstance(node.get(name), str | dict) for name in PATTERNS):
                return "leave out pattern and patternProperties"
            if any(isinstance(node.get(name), str) for name in REFERENCES):
                return "write it out, without $ref"
            if any(_is_large(node.get(name)) for name in REPEATS):
                return f"use at most {MOST_REPEATS} for lengths and numbers of items"
    return ""


def _is_large(value: Any) -> bool:
    return isinstance(value, int | float) and not 0 <= value <= MOST_REPEATS


def _nodes(value: Any) -> Iterator[tuple[Any, int]]:
    left: list[tuple[Any, int]] = [(value, 0)]
    while left:
        node, depth = left.pop()
        yield node, depth
        if isinstance(node, dict):
            left.extend((part, depth + 1) for part in node.values())
        elif isinstance(node, list):
            left.extend((part, depth + 1) for part in node)
