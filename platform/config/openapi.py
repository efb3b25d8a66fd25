"""What drf-spectacular cannot see in the views: the consumers' routes, our tokens, the one error shape."""

import re
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from config.openapi_turns import DESCRIBED
from kit.errors import all_errors

Endpoint = tuple[str, str, str, Any]
METHODS = {"get", "post", "put", "patch", "delete"}
# These pass parameters that they do not know on to the provider.
PASSING_ON = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/responses/input_tokens",
    "/v1/embeddings",
    "/v1/moderations",
)
ERROR_RESPONSE = {"$ref": "#/components/responses/Error"}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Marks operations that need an access token."""

    target_class = "accounts.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `access` token of `/v1/auth/token`, or an API key.",
        }


def add_consumer_routes(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Adds the consumers' routes: they are not Django views."""
    described = [
        (re.sub(r"<\w+:(\w+)>", r"{\1}", route), route, method, view.as_view())
        for route, method, view in DESCRIBED
    ]
    return [*endpoints, *described]


def add_errors(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Adds the one Error to every operation, under each status it can answer with and as the default."""
    components = result["components"]
    components["schemas"]["Error"] = error_schema()
    components["responses"] = {
        "Error": {
            "description": "The one error shape; `code` names the error.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    }
    for path in result["paths"].values():
        for method in METHODS & path.keys():
            for status in error_statuses(path[method]):
                path[method]["responses"].setdefault(status, ERROR_RESPONSE)
    return result


def close_bodies(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Says that JSON bodies have no other fields, because they are refused; unless they are passed on."""
    schemas = result["components"]["schemas"]
    names: set[str] = set()
    for path, operations in result["paths"].items():
        for method in METHODS & operations.keys():
            if path not in PASSING_ON:
                names |= referenced(operations[method].get("requestBody", {}), schemas)
    for name in names - referenced([item["responses"] for item in operations_of(result)], schemas):
        if schemas[name].get("type") == "object":
            schemas[name].setdefault("additionalProperties", False)
    return result


def operations_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [path[method] for path in result["paths"].values() for method in METHODS & path.keys()]


def referenced(node: Any, schemas: dict[str, Any]) -> set[str]:
    """The components that a part of the description refers to, also by way of others."""
    found: set[str] = set()
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in schemas and name not in found:
                found.add(name)
                left.append(schemas[name])
            left += part.values()
        elif isinstance(part, list):
            left += part
    return found


def error_statuses(operation: dict[str, Any]) -> list[str]:
    statuses = []
    if "requestBody" in operation:
        statuses += ["400", "413", "415", "422", "429"]
    elif operation.get("parameters"):
        statuses += ["422"]
    if BearerScheme.name in {name for scheme in operation.get("security", []) for name in scheme}:
        statuses += ["401", "403", "404"]
    return [*sorted(set(statuses)), "default"]


def error_schema() -> dict[str, Any]:
    codes = "\n".join(sorted(f"- `{kind.code}` ({kind.status}): {kind.message}" for kind in all_errors()))
    text, data = {"type": "string"}, {"type": "object", "additionalProperties": True}
    known = {
        "code": {**text, "description": f"For programs:\n\n{codes}"},
        "message": {**text, "description": "A text for people; the text may change."},
        "details": {**data, "description": "Details for this code, such as the fields of `invalid_input`."},
        "request_id": {**text, "description": "The response's `x-request-id`, for support."},
    }
    openai = {
        "type": {**text, "description": "OpenAI-compatible routes only: OpenAI's error type."},
        "param": {**text, "nullable": True, "description": "OpenAI-compatible routes only."},
    }
    error = {"type": "object", "required": list(known), "properties": {**known, **openai}}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}
