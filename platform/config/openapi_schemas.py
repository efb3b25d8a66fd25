"""Short forms for writing parts of the OpenAPI schema by hand, as dicts."""

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
UUID: Schema = {"type": "string", "format": "uuid"}
TIME: Schema = {"type": "string", "format": "date-time"}
OBJECT: Schema = {"type": "object", "additionalProperties": True}
STREAM = "text/event-stream"


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def described(schema: Schema, text: str) -> Schema:
    """With a description; in OpenAPI 3.0 a reference may have no sibling fields."""
    return {"allOf": [schema], "description": text} if "$ref" in schema else {**schema, "description": text}


def nullable(schema: Schema) -> Schema:
    return {"allOf": [schema], "nullable": True} if "$ref" in schema else {**schema, "nullable": True}


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None, text: str = "") -> Schema:
    """An object with these fields."""
    schema: Schema = {"type": "object", "properties": {**required, **(optional or {})}}
    if required:
        schema["required"] = list(required)
    return described(schema, text) if text else schema


def streamed(event: Schema, text: str) -> Schema:
    """A stream of such events, or all of its text for clients that do not parse streams."""
    return {"anyOf": [event, TEXT], "description": text}
