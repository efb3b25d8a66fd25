"""A rule for a tool's arguments is cheap to check, for any rule and any arguments."""

import time
import tracemalloc
from functools import reduce
from typing import Any

import pytest

from kit.errors import InvalidInput
from kit.tests.cpu_time import cpu_at_most
from workspaces.mcp_servers.argument_rules import TOO_MUCH, check_rule, unfit_arguments

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 3}}}
MOST_SECONDS = 1.0  # of CPU


def nested(times: int, word: str = "anyOf", leaf: Any = None) -> Any:
    """A schema nested in a combinator that many times."""
    start = {"type": "integer"} if leaf is None else leaf
    return reduce(lambda part, _: {word: part if word == "not" else [part, part]}, range(times), start)


def chained(times: int) -> Any:
    """Each level evaluates the level below again."""
    levels = range(times)
    return reduce(lambda part, _: {"allOf": [part], "unevaluatedItems": False}, levels, {"items": True})


HEAVY_PATTERNS = {"allOf": [{"not": {"pattern": rf"[^x]*(\w.\d?){{90}}\b[^\W]x{n}"}} for n in range(30)]}
TALL: Any = reduce(lambda part, _: {"properties": {"a": part}}, range(25), HEAVY_PATTERNS)
DEEP: Any = reduce(lambda part, _: {"a": part}, range(25), "é1ab" * 200)
NESTED_TOO_DEEPLY = [
    nested(9),
    nested(9, "oneOf"),
    nested(9, "allOf"),
    nested(12, "not"),
    reduce(lambda part, _: {"if": part, "then": part}, range(7), {"type": "integer"}),
    {"items": nested(6)},
    {"properties": {"a": {"additionalProperties": nested(4)}}},
    {"patternProperties": {"x": nested(4)}},
    {"dependentSchemas": {"a": nested(4)}},
    {"anyOf": [{"contains": {"not": {"items": {"oneOf": [{}]}}}}]},
    chained(12),
    {"$defs": {"a": {}}, "allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]},
]
EXPENSIVE = [
    ({"properties": {"a": {"items": {"enum": [[n] for n in range(4_000)]}}}}, {"a": [[-1]] * 40_000}),
    ({"allOf": [{"additionalProperties": {"type": "integer"}}] * 500}, {str(n): 1 for n in range(15_000)}),
    ({"additionalProperties": HEAVY_PATTERNS}, {"a": "é1ab" * 45_000}),
    ({"patternProperties": {rf"(\w.\d?){{90}}\b[^\W]x{n}": {} for n in range(30)}}, {"é1ab" * 40_000: 1}),
    ({"additionalProperties": {"items": {"multipleOf": 1e-300}}}, {"a": [1e308] * 20_000}),
    ({"additionalProperties": {"items": {"maximum": 10**4000}}}, {"a": [10**4000] * 45}),
    ({"additionalProperties": {"items": nested(3)}}, {"a": ["x"] * 60_000}),
    ({"properties": {"a": {"items": {"required": [str(n) for n in range(4_000)]}}}}, {"a": [{}] * 60_000}),
]
OLDER = "http://json-schema.org/draft-07/schema#"
WHOLE_TEXT = [  # in older drafts each of these keywords reads a long text completely
    {"$schema": OLDER, "properties": {"a": {"anyOf": [{"contentMediaType": "application/json"}] * 900}}},
    {
        "$schema": "http://json-schema.org/draft-06/schema",
        "allOf": [{"contentMediaType": "text/plain"}] * 950,
    },
    {"properties": {"a": {"contentEncoding": "base64"}}},
    {"properties": {"a": {"contentMediaType": "application/json", "contentSchema": {"type": "array"}}}},
    {"$schema": OLDER, "allOf": [{"format": "uri-reference"}] * 1000},
    {
        "properties": {
            "a": {"$schema": "https://json-schema.org/draft/2019-09/schema", "format": "uri-template"}
        }
    },
]
AFFORDABLE = [
    ({"properties": {"a": {"uniqueItems": True}}}, {"a": list(range(40_000))}),
    ({"properties": {"a": {"uniqueItems": True}}}, {"a": [[[n]] for n in range(20_000)]}),
    ({"properties": {"a": {"items": nested(3)}}}, {"a": ["x"] * 5_000}),
    (TALL, DEEP),
    ({"additionalProperties": nested(2, leaf={"type": "integer"})}, {str(n): "x" for n in range(10_000)}),
    ({"items": chained(2)}, [[1] * 1_000] * 20),
]


@pytest.mark.parametrize("schema", [*NESTED_TOO_DEEPLY, *WHOLE_TEXT])
def test_a_rule_whose_cost_multiplies_is_refused_when_it_is_saved(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_rule(schema)
    (problem,) = refused.value.details["argument_schema"]
    assert problem.startswith(("This rule takes too long to check", "Use at most"))


@pytest.mark.parametrize("schema", [*NESTED_TOO_DEEPLY, *WHOLE_TEXT])
def test_a_costly_rule_that_is_already_saved_refuses_the_call_unevaluated(schema: dict[str, Any]) -> None:
    with cpu_at_most(MOST_SECONDS / 4, time.thread_time):
        problem = unfit_arguments(schema, {"a": ["x"] * 40_000})
    assert "Ask a manager to simplify it" in problem


@pytest.mark.parametrize(("schema", "arguments"), EXPENSIVE)
def test_arguments_that_would_take_too_long_to_check_are_refused_unevaluated(
    schema: Any, arguments: Any
) -> None:
    check_rule(schema)
    with cpu_at_most(MOST_SECONDS / 2, time.thread_time):
        assert unfit_arguments(schema, arguments) == TOO_MUCH


@pytest.mark.parametrize(("schema", "arguments"), AFFORDABLE)
def test_a_check_costs_little_cpu_and_memory(schema: Any, arguments: Any) -> None:
    check_rule(schema)
    tracemalloc.start()
    try:
        with cpu_at_most(MOST_SECONDS * 2, time.thread_time):  # tracing slows it down
            unfit_arguments(schema, arguments)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000


def test_a_long_text_without_a_rule_does_not_count() -> None:
    rule = {"properties": {"path": {"pattern": "^/data/"}, "content": {"type": "string"}}}
    assert unfit_arguments(rule, {"path": "/data/a", "content": "x" * 150_000}) == ""
    assert unfit_arguments(rule, {"path": "/etc/a", "content": "x" * 150_000}).startswith("path: ")


def test_problems_are_described_in_words() -> None:
    assert unfit_arguments(SCHEMA, {"a": 2}) == ""
    assert unfit_arguments(SCHEMA, {"a": 4}).startswith("a: 4 is greater than")
    assert unfit_arguments({"properties": {"a": {"items": {"type": "integer"}}}}, {"a": [1, "b"]}) == (
        'a/1: "b" is not of type "integer"'
    )
    assert unfit_arguments({"additionalProperties": False, "properties": {"a": {}}}, {"b": 1}).startswith(
        "arguments: Additional properties"
    )
    alternatives = {"properties": {"a": nested(2)}}
    assert unfit_arguments(alternatives, {"a": "b"}) == "a: does not fit `anyOf` of the rule"
    assert unfit_arguments({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}) != ""
    assert len(unfit_arguments({"properties": {"a": {"const": "x" * 5_000}}}, {"a": 1})) <= 1_000


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"const": "\0"}}},
        {"properties": {"a": {"const": "\ud800"}}},
        {"properties": {"a": {"const": float("inf")}}},
        {"properties": {"a": {"enum": ["x" * 50_000]}}},
    ],
)
def test_an_unusable_rule_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        check_rule(schema)


def test_only_a_few_of_many_problems_are_reported() -> None:
    schema = {"allOf": [{"required": [f"a{number}"]} for number in range(100)]}
    assert unfit_arguments(schema, {}).count(";") == 4
