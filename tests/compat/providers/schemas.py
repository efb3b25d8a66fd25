"""JSON Schemas: values that fit them, and the objects in them."""

from collections.abc import Iterator
from typing import Any

from tests.compat.providers.http import JsonObject

SAMPLES = {"integer": 21, "number": 21.5, "boolean": True, "null": None, "string": "Paris"}


def sample(schema: JsonObject, root: JsonObject | None = None) -> Any:
    """A value that fits: 21, "Paris", and all properties. `root`: the schema that resolves `$ref`."""
    root = schema if root is None else root
    schema = _resolved(schema, root)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            return {name: sample(each, root) for name, each in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema.get("items", {"type": "string"}), root)]
        case other:
            return SAMPLES[other]


def _resolved(schema: JsonObject, root: JsonObject) -> JsonObject:
    """Follows `$ref`, and takes the first of several alternatives."""
    if reference := schema.get("$ref"):
        found: Any = root
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        return _resolved(found, root)
    options = schema.get("anyOf") or schema.get("oneOf")
    return _resolved(options[0], root) if options else schema


def objects_in(schema: Any) -> Iterator[JsonObject]:
    """All object schemas within a schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects_in(value)
