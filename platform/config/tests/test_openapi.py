"""The OpenAPI schema tells of every route, consumers' ones too, and can be browsed."""

import io
import re
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, get_resolver
from openapi_spec_validator import validate

from config.openapi import ERRORS, PASSING_ON
from config.openapi_turns import DESCRIBED, EVENTS
from gateway.api.routes import http_router
from gateway.providers.base import ToolCallDelta
from gateway.turns.event_json import NAMES
from gateway.turns.requests import LONGEST_MESSAGE
from kit import __version__
from kit.errors import all_errors

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def schema() -> Any:
    """As `/v1/schema` serves it; nothing of it comes from the database."""
    return Client().get("/v1/schema").json()


def consumer_routes() -> dict[str, str]:
    """The address and method of each consumer of the API; the pages have some of their own."""
    routes = [route for route in http_router(print).routes if str(route.pattern).startswith("v1/")]
    return {f"/{route.pattern}": route.callback.consumer_class.method for route in routes}


def test_the_consumers_routes_are_described_and_no_others() -> None:
    assert {route: method for route, method, _ in DESCRIBED} == consumer_routes()


def test_every_route_of_the_api_is_in_the_schema(schema: Any) -> None:
    v1 = next(entry for entry in get_resolver().url_patterns if str(entry.pattern) == "v1/")
    ordinary = {
        f"/v1/{entry.pattern}"
        for entry in v1.url_patterns
        if isinstance(entry, URLPattern) and str(entry.pattern)
    }
    known = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route) for route in ordinary | consumer_routes().keys()}
    assert set(schema["paths"]) == known - {"/v1/schema", "/v1/docs"}


def test_the_described_events_are_those_that_are_sent() -> None:
    described = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", EVENTS, re.MULTILINE))))
    completions_only = NAMES[ToolCallDelta]  # sent in OpenAI's own format
    assert described == {*NAMES.values(), "moved"} - {completions_only}


def test_the_schema_is_valid_and_has_the_version_of_switchyard(schema: Any) -> None:
    validate(schema)
    assert schema["info"]["version"].split(" ")[0] == __version__


def test_the_schema_is_made_without_a_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def operations(schema: Any) -> list[tuple[str, Any]]:
    paths = schema["paths"].items()
    return [(f"{name} {path}", entry[name]) for path, entry in paths for name in METHODS & entry.keys()]


def test_every_error_is_the_one_error(schema: Any) -> None:
    for name, operation in operations(schema):
        responses = {
            status: answer for status, answer in operation["responses"].items() if status[0] not in "23"
        }
        shape = next((ERRORS[tag] for tag in operation["tags"] if tag in ERRORS), "Error")
        assert "default" in responses, name
        assert all(answer == {"$ref": f"#/components/responses/{shape}"} for answer in responses.values()), (
            name
        )


def test_the_error_tells_every_code(schema: Any) -> None:
    error = schema["components"]["schemas"]["ErrorDetail"]
    assert all(
        f"`{kind.code}` ({kind.status})" in error["properties"]["code"]["description"]
        for kind in all_errors()
    )


def test_every_operation_is_tagged_described_and_named_once(schema: Any) -> None:
    names = [operation["operationId"] for _, operation in operations(schema)]
    assert len(names) == len(set(names))
    for name, operation in operations(schema):
        assert operation["description"], name
        assert operation["tags"], name


def test_only_signing_in_needs_no_token(schema: Any) -> None:
    open_ones = {name for name, operation in operations(schema) if not operation.get("security")}
    assert open_ones == {
        "post /v1/auth/signup",
        "post /v1/auth/token",
        "post /v1/auth/token/refresh",
        "post /v1/auth/invitations/look",
        "post /v1/auth/invitations/accept",
        "post /v1/auth/links/look",
        "post /v1/auth/links/join",
    }
    assert schema["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_a_stream_is_told_beside_the_json(schema: Any) -> None:
    send = schema["paths"]["/v1/chat/send"]["post"]
    assert set(send["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "| `delta`, `reasoning` | `text` |" in send["description"]
    assert [parameter["name"] for parameter in send["parameters"]] == ["Idempotency-Key"]


def test_the_bodies_are_those_that_are_validated(schema: Any) -> None:
    send = schema["components"]["schemas"]["Send"]
    assert send["required"] == ["model"]
    assert send["properties"]["message"]["maxLength"] == LONGEST_MESSAGE


def test_json_bodies_are_described_without_other_fields(schema: Any) -> None:
    open_bodies = set()
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            body = content.get("application/json", {}).get("schema", {})
            name = body.get("$ref", "").rpartition("/")[2]
            body = schema["components"]["schemas"][name] if name else body
            if body and body.get("additionalProperties") is not False:
                open_bodies.add(path)
    assert open_bodies == set(PASSING_ON)
