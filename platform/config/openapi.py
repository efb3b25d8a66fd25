"""What drf-spectacular cannot see in the views: the consumers' routes, our tokens, the one error shape."""

import json
import re
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from config import openapi_compatible_events, openapi_completions, openapi_events
from config.openapi_schemas import OBJECT, TEXT, described, nullable, one_of, record, ref
from config.openapi_turns import DESCRIBED
from kit.errors import all_errors

Endpoint = tuple[str, str, str, Any]
METHODS = {"get", "post", "put", "patch", "delete"}
# Routes that pass parameters they do not know on to the provider.
PASSING_ON = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/responses/input_tokens",
    "/v1/embeddings",
    "/v1/moderations",
)
# The shape of a route's errors, by its tag.
ERRORS = {"openai": "OpenAIError", "anthropic": "AnthropicError"}


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


def add_components(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Adds the components that are written by hand, and the parameters that are passed on to a request."""
    schemas = result["components"]["schemas"]
    schemas |= (
        openapi_completions.COMPONENTS | openapi_events.COMPONENTS | openapi_compatible_events.COMPONENTS
    )
    schemas["Completion"]["properties"] |= openapi_completions.REFINED | openapi_completions.PASSED_ON
    for path in PASSING_ON:
        for name in directly_referenced(result["paths"][path]["post"]["requestBody"]):
            schemas[name]["additionalProperties"] = True
    return result


def describe_defaults(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Moves the defaults of fields into their descriptions: type generators make a field with a default
    mandatory, as in an answer."""
    for schema in result["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            if field.get("default") is not None:
                default = json.dumps(field["default"])
                field["description"] = f"{field.get('description', '')}\n\nDefault: `{default}`".strip()
            field.pop("default", None)
    return result


def add_errors(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Adds the error response to every operation, for each possible status and as the default."""
    components = result["components"]
    components["schemas"] |= error_schemas()
    components["responses"] = {name: error_response(name) for name in ("Error", *ERRORS.values())}
    for operation in operations_of(result):
        name = next((ERRORS[tag] for tag in operation["tags"] if tag in ERRORS), "Error")
        for status in error_statuses(operation):
            operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{name}"})
    return result


def close_bodies(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Declares that JSON bodies have no other fields: those are refused, unless they are passed on."""
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


def directly_referenced(body: dict[str, Any]) -> list[str]:
    """The names of the components that a body consists of, in each of its formats."""
    schemas = [content["schema"] for content in body["content"].values()]
    return [schema["$ref"].rpartition("/")[2] for schema in schemas if "$ref" in schema]


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


def error_response(name: str) -> dict[str, Any]:
    return {
        "description": "The one error shape; `code` names the error.",
        "content": {"application/json": {"schema": ref(name)}},
    }


def error_schemas() -> dict[str, Any]:
    codes = "\n".join(sorted(f"- `{kind.code}` ({kind.status}): {kind.message}" for kind in all_errors()))
    details = described(OBJECT, "Details for this code, such as the fields of `invalid_input`.")
    known = {
        "code": described(TEXT, f"For programs:\n\n{codes}"),
        "message": described(TEXT, "A text for people; the text may change."),
        "details": details,
        "request_id": described(TEXT, "The response's `x-request-id`, for support."),
    }
    compatible = {
        **known,
        "code": described(TEXT, "As in `ErrorDetail`, or the code that its clients act on."),
    }
    openai = {
        **compatible,
        "type": described(TEXT, "OpenAI's error type."),
        "param": described(nullable(TEXT), "The field that is wrong."),
    }
    anthropic = {**compatible, "type": described(TEXT, "Anthropic's error type.")}
    return {
        "ErrorDetail": record(known),
        "Error": record({"error": ref("ErrorDetail")}),
        "OpenAIError": record({"error": record(openai)}),
        "AnthropicError": record(
            {"type": one_of("error"), "error": record(anthropic), "request_id": known["request_id"]}
        ),
    }
