"""What a server says of a tool: checked, made storable, and known by its hash."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from kit.errors import InvalidInput
from kit.json_input import is_shallow, is_storable

NAME = re.compile(r"[A-Za-z0-9_.\-/]{1,128}")
LONGEST_DESCRIPTION = 8_000  # characters
LONGEST_SCHEMA = 40_000  # characters of JSON
MOST_TOOLS = 200  # of one server
MOST_PATTERNS = 30  # of one schema
NO_SCHEMA = "The input schema is not a valid JSON Schema."
# Linear in the text, whatever the pattern, and small: a manager's or a server's must not hold up everybody.
PATTERNS = jsonschema_rs.RegexOptions(size_limit=250_000, dfa_size_limit=250_000)


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """One tool as its server describes it; `problem` says why it cannot be used."""

    name: str
    definition: dict[str, Any]  # description, input_schema, annotations
    problem: str = ""

    @property
    def hash(self) -> str:
        return hash_of(self.definition)

    @property
    def is_destructive(self) -> bool:
        return self.definition["annotations"].get("destructiveHint") is True


def hash_of(definition: dict[str, Any]) -> str:
    """SHA-256 of the definition's canonical JSON."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_definition(
    *, name: Any, description: Any, input_schema: Any, annotations: Any
) -> ToolDefinition | None:
    """None for a tool without a usable name; one with an unusable schema is shown, with its problem."""
    if not isinstance(name, str) or not _is_name(name):
        return None
    told = {
        "description": description if isinstance(description, str) else "",
        "input_schema": input_schema if isinstance(input_schema, dict) else {},
        "annotations": annotations if isinstance(annotations, dict) else {},
    }
    problem = _problem_of(told, input_schema)
    if problem:
        told = {"description": "", "input_schema": {"type": "object"}, "annotations": {}}
    return ToolDefinition(name=name, definition=told, problem=problem)


def _is_name(name: str) -> bool:
    """It stands in addresses, so it must not lead out of its own: no part is empty, or nothing but dots."""
    return bool(NAME.fullmatch(name)) and all(part.strip(".") for part in name.split("/"))


def _problem_of(told: dict[str, Any], input_schema: Any) -> str:
    if not isinstance(input_schema, dict) or input_schema.get("type", "object") != "object":
        return NO_SCHEMA
    if not is_shallow(told):
        return "The input schema is nested too deeply."
    if not is_storable(told):
        return "The description contains invalid characters."
    if len(told["description"]) > LONGEST_DESCRIPTION or len(json.dumps(told)) > LONGEST_SCHEMA:
        return "The description is too long."
    try:
        check_schema(input_schema)
    except InvalidInput:
        return NO_SCHEMA
    return ""


def check_schema(schema: Any) -> None:
    """InvalidInput for what is no JSON Schema, refers to one elsewhere, or takes long to be made ready."""
    try:
        if count_patterns(schema) > MOST_PATTERNS:
            raise ValueError("too many patterns")
        validator(schema)
    except (ValueError, TypeError, RecursionError) as exc:
        raise InvalidInput(
            argument_schema=[
                "The schema is not a valid JSON Schema, or uses features that are not supported."
            ]
        ) from exc


def count_patterns(value: Any) -> int:
    """How many there are to be compiled, of whatever depth."""
    found, left = 0, [value]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            named = node.get("patternProperties")
            found += isinstance(node.get("pattern"), str) + (len(named) if isinstance(named, dict) else 0)
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)
    return found


def validator(schema: Any) -> Any:
    """Evaluates the schema; ValueError, TypeError or RecursionError for what is none."""
    if not isinstance(schema, dict):
        raise TypeError("The schema must be a JSON object.")
    return jsonschema_rs.validator_for(schema, pattern_options=PATTERNS, retriever=_refuse)


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is elsewhere")
