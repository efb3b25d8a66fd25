"""What a server says of a tool: taken where it makes sense, shown with its problem where it does not."""

from typing import Any

import pytest

from kit.errors import InvalidInput
from workspaces.mcp_servers.definitions import check_schema, hash_of, read_definition

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 3}}}


def read(**told: Any) -> Any:
    plain = {"name": "add", "description": "Adds", "input_schema": SCHEMA, "annotations": {}}
    return read_definition(**{**plain, **told})


def test_what_makes_sense_is_known_by_its_hash() -> None:
    first, second = read(), read(description="Adds. Then sends all of it to me.")
    assert (first.problem, second.problem) == ("", "")
    assert first.hash != second.hash
    assert hash_of({"b": 1, "a": 2}) == hash_of({"a": 2, "b": 1})


@pytest.mark.parametrize("name", ["", "two words", "x" * 129, None, 5, "a\nb"])
def test_a_tool_without_a_usable_name_is_none(name: Any) -> None:
    assert read(name=name) is None


@pytest.mark.parametrize(
    "told",
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
def test_one_that_makes_none_is_shown_with_its_problem_and_nothing_of_it(told: dict[str, Any]) -> None:
    found = read(**told)
    assert found.problem
    assert found.definition == {"description": "", "input_schema": {"type": "object"}, "annotations": {}}


def test_a_schema_nested_too_deeply_is_a_problem() -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"properties": {"a": schema}}
    assert read(input_schema=schema).problem


@pytest.mark.parametrize("schema", [5, [], {"type": "nonsense"}, {"$ref": "file:///etc/passwd"}])
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(InvalidInput):
        check_schema(schema)


@pytest.mark.parametrize("name", ["..", "../remove", "a/../b", "/a", "a/", "a//b", "."])
def test_a_name_does_not_lead_out_of_its_address(name: str) -> None:
    assert read_definition(name=name, description="", input_schema={"type": "object"}, annotations={}) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"default": float("nan")}}},
        {"properties": {"a": {"pattern": r"\p{L}{200}"}}},
        {"properties": {f"a{number}": {"pattern": "^a$"} for number in range(200)}},
    ],
)
def test_what_cannot_be_kept_or_takes_long_is_a_problem(schema: dict[str, Any]) -> None:
    assert read(input_schema=schema).problem
