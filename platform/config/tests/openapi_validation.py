"""Validates data against parts of the OpenAPI schema."""

import copy
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker


def as_json_schema(node: Any) -> Any:
    """A part of an OpenAPI 3.0 description in today's JSON Schema, whose null is a type."""
    if isinstance(node, list):
        return [as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    plain = {name: as_json_schema(value) for name, value in node.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


class Validators:
    def __init__(self, schema: Any) -> None:
        self._components = as_json_schema(copy.deepcopy(schema["components"]["schemas"]))

    def problems(self, described: Any, example: Any) -> list[str]:
        whole = {"components": {"schemas": self._components}, **as_json_schema(described)}
        validator = Draft202012Validator(whole, format_checker=FormatChecker())
        return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(example)]
