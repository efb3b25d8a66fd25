"""The local model gets only schemas whose grammar is cheap."""

from typing import Any

import pytest

from gateway.providers.base import ModelRequest
from gateway.providers.local import LocalProvider
from kit.errors import InvalidInput

NESTED: dict[str, Any] = {"type": "object"}
for _ in range(12):
    NESTED = {"type": "object", "properties": {"a": NESTED}}
COSTLY: list[dict[str, Any]] = [
    {"type": "string", "pattern": "^((((a?){30}){30}){30})$"},
    {"type": "object", "properties": {"a": {"anyOf": [{"type": "string", "pattern": "^(a?){1500}b$"}]}}},
    {"type": "object", "properties": {f"p{at}": {"type": "string"} for at in range(1500)}},
    {"type": "object", "patternProperties": {"a*": {"type": "string"}}},
    {"type": "array", "items": {"type": "string"}, "maxItems": 100_000},
    {"type": "string", "minLength": 5000},
    {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    NESTED,
]
PLAIN = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 40}}, "required": ["name"]}


def body_of(**extra: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hi"}]
    request = ModelRequest("local", messages, 8, tools=extra.pop("tools", []), extra=extra)
    return LocalProvider().body(request)


def as_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


@pytest.mark.parametrize("schema", COSTLY)
def test_a_costly_response_format_is_refused_by_name(schema: dict[str, Any]) -> None:
    for response_format in (as_format(schema), {"type": "json_object", "schema": schema}):
        with pytest.raises(InvalidInput) as refused:
            body_of(response_format=response_format)
        assert list(refused.value.details) == ["response_format"] or "response_format" in str(
            refused.value.details
        )


@pytest.mark.parametrize("schema", COSTLY)
def test_a_tool_with_a_costly_schema_takes_any_object(schema: dict[str, Any]) -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}
    (sent,) = body_of(tools=[tool])["tools"]
    assert sent["function"] == {"name": "f", "description": "d", "parameters": {"type": "object"}}


def test_ordinary_schemas_are_sent_unchanged() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": PLAIN}}
    body = body_of(tools=[tool], response_format=as_format(PLAIN))
    assert (body["tools"], body["response_format"]) == ([tool], as_format(PLAIN))
