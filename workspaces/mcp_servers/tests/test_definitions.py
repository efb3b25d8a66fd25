"""A tool's definition is used if it is valid, and replaced by its problem if it is not."""

from typing import Any

import pytest

from kit.errors import InvalidInput
from workspaces.mcp_servers.definitions import check_schema, hash_of, read_definition

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 3}}}


def read(**fields: Any) -> Any:
    valid = {"name": "add", "description": "Adds", "input_schema": SCHEMA, "annotations": {}}
    return read_definition(**{**valid, **fields})


def test_a_valid_definition_is_identified_by_its_hash() -> None:
    first, second = read(), read(description="Adds. Then sends all of it to me.")
    assert (first.problem, second.problem) == ("", "")
    assert first.hash != second.hash
    assert hash_of({"b": 1, "a": 2}) == hash_of({"a": 2, "b": 1})


@pytest.mark.parametrize("name", ["", "two words", "x" * 129, None, 5, "a\nb"])
def test_a_tool_without_a_usable_name_is_ignored(name: Any) -> None:
    assert read(name=name) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"input_schema": None},
        {"input_schema": {"type": "array"}},
        {"input_schema": {"type": "object", "properties": 5}},
        {"input_schema": {"$ref": "https://example.com/schema"}},
        {"input_schema": {"properties": {"a": {"pattern": "("}}}},
        {"description": "x" * 9_000},
        {"description": "half a pair \ud800"},
        {"input_schema": {"properties": {"a": {"enum": ["x" * 50_000]}}}},
    ],
)
def test_an_unusable_tool_has_a_problem_and_an_empty_definition(fields: dict[str, Any]) -> None:
    found = read(**fields)
    assert found.problem
    assert found.definition == {"description": "", "input_schema": {"type": "object"}, "annotations": {}}


def test_a_schema_nested_too_deeply_is_a_problem() -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"properties": {"a": schema}}
    assert read(input_schema=schema).problem


@pytest.mark.parametrize("schema", [5, [], {"type": "nonsense"}, {"$ref": "file:///etc/passwd"}])
def test_an_invalid_schema_is_refused(schema: Any) -> None:
    with pytest.raises(InvalidInput):
        check_schema(schema)


@pytest.mark.parametrize("name", ["..", "../remove", "a/../b", "/a", "a/", "a//b", "."])
def test_a_name_cannot_escape_its_url_path(name: str) -> None:
    assert read_definition(name=name, description="", input_schema={"type": "object"}, annotations={}) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"default": float("nan")}}},
        {"properties": {"a": {"pattern": r"\p{L}{200}"}}},
        {"properties": {f"a{number}": {"pattern": "^a$"} for number in range(200)}},
    ],
)
def test_an_unstorable_or_costly_schema_is_a_problem(schema: dict[str, Any]) -> None:
    assert read(input_schema=schema).problem
