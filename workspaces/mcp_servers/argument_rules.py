"""What a manager allows a tool to be called with: a JSON Schema whose cost is known before it is evaluated.

A schema may cost the product of its own size and the arguments', and more where parts of it are nested or
refer to each other. Rules that could are refused when they are saved, and again, for those that were saved
before, at each call.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from kit.errors import InvalidInput
from kit.json_input import is_shallow, is_storable
from workspaces.mcp_servers.definitions import LONGEST_SCHEMA, check_schema, count_patterns, validator

MOST_NESTED = 3  # combinators inside each other
MOST_UNEVALUATED = 2  # in one rule: each doubles the work of what it surrounds
MOST_WORK = 1_000_000  # nodes of the rule times nodes of the arguments: a tenth of a second
MOST_MATCHING = 30_000  # patterns times characters: a fifth of a second at worst
MULTIPLE_OF_WORK = 200  # of `multipleOf` where numbers are far apart, in nodes
COMPILING_WORK = 10  # of a character of a rule, in nodes
COMPILING_MATCHING = 300  # of a pattern, in characters
MOST_PROBLEMS = 5  # that are told of one call's arguments
LONGEST_PROBLEM = 300  # characters

LEAVES = {
    *("type", "enum", "const", "required", "pattern", "format", "uniqueItems", "dependentRequired"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    *("minItems", "maxItems", "minProperties", "maxProperties"),
}
COMBINATORS = {"anyOf", "oneOf", "allOf", "not", "if", "then", "else", "contains", "dependentSchemas"}
UNEVALUATED = {"unevaluatedItems", "unevaluatedProperties"}
CONTENT = {
    "contentMediaType",
    "contentEncoding",
    "contentSchema",
}  # in older drafts each reads the whole text
DRAFTS = {"https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#"}
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
NO_RULE = "The rule is not a valid JSON Schema."
TOO_MUCH = "the workspace's rule for this tool cannot be checked against so much; send less"
BAD_RULE = "the workspace's rule for this tool takes too long to check: {}. Ask a manager to simplify it"


def check_rule(schema: dict[str, Any]) -> None:
    """InvalidInput at `argument_schema` for a rule that no call could be checked against in a short time."""
    if not (is_shallow(schema) and is_storable(schema)):
        raise InvalidInput(argument_schema=[NO_RULE])
    if len(json.dumps(schema)) > LONGEST_SCHEMA:
        raise InvalidInput(argument_schema=[f"Use at most {LONGEST_SCHEMA} characters."])
    check_schema(schema)
    if problem := costly_part(schema):
        raise InvalidInput(argument_schema=[f"This rule takes too long to check: {problem}."])


def costly_part(schema: dict[str, Any]) -> str:
    """What makes the rule too expensive whatever it is checked against; empty for an affordable one."""
    nodes = list(_objects(schema))
    if any(isinstance(node.get(word), str) for node in nodes for word in REFERENCES):
        return "write it out, without $ref"
    if any(isinstance(node.get(word), str) for node in nodes for word in CONTENT):
        return "leave out contentMediaType, contentEncoding and contentSchema"
    if any(isinstance(draft := node.get("$schema"), str) and draft not in DRAFTS for node in nodes):
        return "write it for JSON Schema 2020-12, without another $schema"
    if sum(len(UNEVALUATED & node.keys()) for node in nodes) > MOST_UNEVALUATED:
        return f"use unevaluatedProperties and unevaluatedItems at most {MOST_UNEVALUATED} times"
    if _nesting(schema) > MOST_NESTED:
        return f"nest anyOf, oneOf, allOf, not and if at most {MOST_NESTED} deep"
    return ""


def unfit_arguments(schema: dict[str, Any], arguments: Any) -> str:
    """Why the arguments do not fit, in words for the model; empty where they do.

    Half a second of CPU at most, with the GIL held: to be called outside the threads that reach the database.
    """
    if problem := costly_part(schema):
        return BAD_RULE.format(problem)
    work, matching = _cost(schema, arguments)
    if work > MOST_WORK or matching > MOST_MATCHING:
        return TOO_MUCH
    if validator(schema).is_valid(arguments):
        return ""
    problems = islice(_Search().problems(schema, arguments, ""), MOST_PROBLEMS)
    return "; ".join(problem[:LONGEST_PROBLEM] for problem in problems)[:1_000] or "they do not fit"


class _Search:
    """Looks for what is wrong by small evaluations, which cost as much again as finding that something is.

    The library's own errors hold a copy of each alternative's, so it is asked for those of leaves only.
    """

    def __init__(self) -> None:
        self.work, self.matching = MOST_WORK, MOST_MATCHING

    def problems(self, schema: Any, value: Any, path: str) -> Iterator[str]:
        if not isinstance(schema, dict):
            if schema is False:
                yield f"{path or 'arguments'}: not allowed"
            return
        for word, told in schema.items():
            alone = self._alone(schema, word)
            if not self._can_afford(alone, value):
                return
            if not validator(alone).is_valid(value):
                found = self._inside(word, told, value, path)
                yield from found or self._of(word, alone, value, path)

    def _can_afford(self, schema: dict[str, Any], value: Any) -> bool:
        work, matching = _cost(schema, value)
        self.work -= work + COMPILING_WORK * len(json.dumps(schema))
        self.matching -= matching + COMPILING_MATCHING * count_patterns(schema)
        return self.work >= 0 and self.matching >= 0

    def _inside(self, word: str, told: Any, value: Any, path: str) -> list[str]:
        """What is wrong in a part that is no alternative to another."""
        found: Iterator[str] = iter(())
        if word == "properties":
            found = (
                problem
                for name, part in told.items()
                if name in value
                for problem in self.problems(part, value[name], _joined(path, name))
            )
        elif word == "allOf":
            found = (problem for part in told for problem in self.problems(part, value, path))
        elif word == "items" and isinstance(told, dict) and self._can_afford(told, value):
            check = validator(told)
            wrong = next((at for at, item in enumerate(value) if not check.is_valid(item)), None)
            if wrong is not None:
                found = self.problems(told, value[wrong], _joined(path, str(wrong)))
        return list(islice(found, MOST_PROBLEMS))

    def _of(self, word: str, alone: dict[str, Any], value: Any, path: str) -> list[str]:
        if word in LEAVES or alone[word] is False:
            errors = islice(validator(alone).iter_errors(value), MOST_PROBLEMS)
            found = [f"{path or 'arguments'}: {error.message}" for error in errors]
            if found:
                return found
        return [f"{path or 'arguments'}: does not fit `{word}` of the rule"]

    @staticmethod
    def _alone(schema: dict[str, Any], word: str) -> dict[str, Any]:
        """The keyword with those that it only means something with."""
        beside = {
            "if": ("then", "else"),
            "additionalProperties": ("properties", "patternProperties"),
            "items": ("prefixItems",),
            "additionalItems": ("items",),
            "contains": ("minContains", "maxContains"),
        }.get(word, ())
        if word in UNEVALUATED:
            return schema
        named = {name: schema[name] for name in ("$schema", word, *beside) if name in schema}
        if word == "additionalProperties" and "properties" in named:  # they are looked at by themselves
            named["properties"] = dict.fromkeys(named["properties"], True)
        return named


def _joined(path: str, step: str) -> str:
    return f"{path}/{step}" if path else step


def _cost(schema: Any, value: Any) -> tuple[int, int]:
    """An upper bound of pairs that are looked at, and of pattern steps.

    Exact along `properties`, where a part of the rule meets a part of the arguments; everything else may
    meet everything.
    """
    own, properties = schema, {}
    if isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
        properties = schema["properties"]
        own = {name: part for name, part in schema.items() if name != "properties"}
    nodes, patterns, factor = _size_of_rule(own)
    size, characters = _size_of_value(value)
    work, matching = (nodes + len(properties)) * size * factor, patterns * characters * factor
    for name, part in properties.items():
        if isinstance(value, dict) and name in value:
            more, steps = _cost(part, value[name])
            work, matching = work + more * factor, matching + steps * factor
    return work, matching


def _size_of_rule(schema: Any) -> tuple[int, int, int]:
    """Nodes, patterns, and how many times `unevaluated…` looks again."""
    nodes, patterns, again, left = 0, 0, 0, [schema]
    while left:
        node = left.pop()
        nodes += _weight(node)
        if isinstance(node, dict):
            named = node.get("patternProperties")
            patterns += isinstance(node.get("pattern"), str) + (len(named) if isinstance(named, dict) else 0)
            nodes += MULTIPLE_OF_WORK * ("multipleOf" in node)
            again += len(UNEVALUATED & node.keys())
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)
    return nodes, patterns, 2**again


def _size_of_value(value: Any) -> tuple[int, int]:
    """Nodes, and characters of all its texts."""
    nodes, characters, left = 0, 0, [value]
    while left:
        node = left.pop()
        nodes += _weight(node)
        if isinstance(node, str):
            characters += len(node)
        elif isinstance(node, dict):
            characters += sum(map(len, node))
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)
    return nodes, characters


def _weight(node: Any) -> int:
    """One, but for numbers of many digits, which cost the square of their length."""
    if isinstance(node, int) and not isinstance(node, bool):
        return 1 + node.bit_length() ** 2 // 10_000
    return 1


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)


def _nesting(value: Any) -> int:
    """How many combinators are inside each other at most; of what is shallow."""
    if isinstance(value, list):
        return max(map(_nesting, value), default=0)
    if not isinstance(value, dict):
        return 0
    return max(((name in COMBINATORS) + _nesting(part) for name, part in value.items()), default=0)
