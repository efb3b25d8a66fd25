"""Gives every body, answer and parameter of the OpenAPI schema an example, made from its schema.

The values are those of `example_data.py`: whole components first, then fields by their name. A field in
neither gets the simplest value of its type.
"""

from typing import Any

from config.example_data import COMPONENTS, FIELDS, PARAMETERS, STREAMS, TEXTS
from config.openapi_schemas import STREAM, Schema

METHODS = {"get", "post", "put", "patch", "delete"}
BY_FORMAT: dict[str, Any] = {
    "uuid": "0192f0c1-a2b3-7c4d-8e5f-60718293a4b5",
    "date-time": "2026-03-02T09:30:00Z",
    "date": "2026-03-02",
    "email": "alice@example.com",
    "uri": "https://example.com/",
}
BY_TYPE: dict[str, Any] = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "object": {}}
KINDS = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
}
DEEPEST = 12  # a schema that refers to itself ends here


def add_examples(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Existing examples are not replaced."""
    maker = ExampleMaker(result["components"]["schemas"])
    for name, example in COMPONENTS.items():
        if name in result["components"]["schemas"]:
            result["components"]["schemas"][name].setdefault("example", example)
    for path in result["paths"].values():
        for method in METHODS & path.keys():
            _add_to_operation(path[method], maker)
    for response in result["components"]["responses"].values():
        _add_to_contents(response, maker)
    return result


def _add_to_operation(operation: dict[str, Any], maker: "ExampleMaker") -> None:
    for parameter in operation.get("parameters", []):
        if not {"example", "examples"} & parameter.keys():
            parameter["example"] = maker.parameter(parameter)
    _add_to_contents(operation.get("requestBody", {}), maker, is_request=True)
    for response in operation["responses"].values():
        _add_to_contents(response, maker)


def _add_to_contents(body: dict[str, Any], maker: "ExampleMaker", *, is_request: bool = False) -> None:
    for media_type, content in body.get("content", {}).items():
        schema = content.get("schema", {})
        if {"example", "examples"} & content.keys() or schema.get("format") == "binary":
            continue
        if media_type in TEXTS:
            content["example"] = TEXTS[media_type]
        elif media_type == STREAM:
            content["example"] = maker.stream(schema)
        else:
            content["example"] = maker.value(schema, is_request=is_request)


class ExampleMaker:
    """Makes examples for the schemas of one description."""

    def __init__(self, components: dict[str, Schema]) -> None:
        self._components = components

    def parameter(self, parameter: dict[str, Any]) -> Any:
        schema = parameter.get("schema", {})
        known = PARAMETERS.get(parameter["name"])
        if known is not None and _is_kind(known, self._resolved(schema)[1]):
            return known
        return self._field(parameter["name"], schema, is_request=False, depth=0)

    def stream(self, schema: Schema) -> str:
        """The text of a short stream of this schema's events."""
        return next((text for name, text in STREAMS.items() if name in str(schema)), ": ping\n\n")

    def value(self, schema: Schema, *, is_request: bool = False, depth: int = 0) -> Any:
        """A value that the schema allows: required fields only in a request, all fields in an answer."""
        component, schema = self._resolved(schema)
        if "example" in schema:
            return schema["example"]
        if "enum" in schema:
            return schema["enum"][0]
        if "properties" in schema:
            return self._record(component, schema, is_request, depth + 1)
        if schema.get("type") == "array":
            items = schema.get("items", {})
            return [self.value(items, is_request=is_request, depth=depth + 1)] if depth < DEEPEST else []
        if schema.get("format") in BY_FORMAT:
            return BY_FORMAT[schema["format"]]
        plain = BY_TYPE.get(schema.get("type", ""))
        return max(plain, schema["minimum"]) if plain is not None and "minimum" in schema else plain

    def _record(self, component: str, schema: Schema, is_request: bool, depth: int) -> dict[str, Any]:
        needed = schema.get("required", [])
        fields = {
            name: field
            for name, field in schema["properties"].items()
            if name in needed or (not is_request and depth < DEEPEST and not field.get("deprecated"))
        }
        if is_request and not fields:  # a change of one thing
            fields = dict(list(schema["properties"].items())[:1])
        return {
            name: self._field(f"{component}.{name}", field, is_request, depth)
            for name, field in fields.items()
        }

    def _field(self, name: str, field: Schema, is_request: bool, depth: int) -> Any:
        """The value for `Component.field`, or for any field of that name."""
        for known in (name, name.rpartition(".")[2]):
            if known in FIELDS and self._fits(FIELDS[known], field):
                return FIELDS[known]
        return self.value(field, is_request=is_request, depth=depth)

    def _fits(self, value: Any, schema: Schema) -> bool:
        """Whether a value known by name fits this field, which may be a different field of that name."""
        if value is None:
            return bool(schema.get("nullable"))
        _, schema = self._resolved(schema)
        if "enum" in schema:
            return value in schema["enum"]
        if "example" in schema or schema.get("format") in BY_FORMAT or not _is_kind(value, schema):
            return False
        if isinstance(value, list):
            return all(self._fits(one, schema.get("items", {})) for one in value)
        return not isinstance(value, str) or len(value) <= schema.get("maxLength", len(value))

    def _resolved(self, schema: Schema) -> tuple[str, Schema]:
        """The component's name, if any, and the schema without references: the first of several."""
        component = ""
        while True:
            if "$ref" in schema:
                component = schema["$ref"].rpartition("/")[2]
                schema = self._components[component]
            elif "example" not in schema and (several := _several(schema)):
                schema = several[0]
            else:
                return component, schema


def _is_kind(value: Any, schema: Schema) -> bool:
    kind: Any = KINDS.get(schema.get("type", ""), object)
    return isinstance(value, kind) and (kind in (bool, object) or not isinstance(value, bool))


def _several(schema: Schema) -> list[Schema]:
    return next((schema[word] for word in ("allOf", "oneOf", "anyOf") if word in schema), [])
