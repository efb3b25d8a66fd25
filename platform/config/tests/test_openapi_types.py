"""The OpenAPI schema types and shows every body, answer, event and parameter, and its examples are valid."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from config import example_data, openapi_completions, openapi_events
from config.example_data import EVENTS, TEXTS
from config.openapi import METHODS
from config.tests.openapi_validation import Validators
from gateway.calls.client_parameters import OWN, REFUSED, passed_through
from gateway.providers.base import ToolCallDelta
from gateway.turns.event_json import NAMES
from gateway.turns.events import Failed
from quotas.api.usage import LedgerLineSerializer
from quotas.exports import FIELDS

PICTURES = {"image/*"}  # bytes, which have no fields and no example
Content = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def schema() -> Any:
    return Client().get("/v1/schema").json()


def operations(schema: Any) -> Iterator[tuple[str, Any]]:
    for path, entry in schema["paths"].items():
        for method in METHODS & entry.keys():
            yield f"{method} {path}", entry[method]


def contents(schema: Any) -> Iterator[Content]:
    """Each body and each answer: whose it is, its media type, its description."""
    for name, operation in operations(schema):
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{name} body", media_type, content
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                yield f"{name} {status}", media_type, content
    for name, answer in schema["components"]["responses"].items():
        for media_type, content in answer["content"].items():
            yield name, media_type, content


def examples_of(described: Any) -> list[Any]:
    several = [one["value"] for one in described.get("examples", {}).values()]
    return [*several, *([described["example"]] if "example" in described else [])]


def resolved(schema: Any, described: Any) -> Any:
    while "$ref" in described:
        described = schema["components"]["schemas"][described["$ref"].rpartition("/")[2]]
    return described


def is_typed(schema: Any, described: Any) -> bool:
    """Whether the schema says more than that it is JSON."""
    found = resolved(schema, described)
    parts = [part for word in ("allOf", "oneOf", "anyOf") for part in found.get(word, [])]
    if parts:
        return any(is_typed(schema, part) for part in parts)
    if found.get("type") == "array":
        return is_typed(schema, found.get("items", {}))
    return bool(found.get("properties")) or found.get("type") in {"string", "integer", "number", "boolean"}


def test_no_body_and_no_answer_is_just_any_object(schema: Any) -> None:
    untyped = [
        f"{name} {media_type}"
        for name, media_type, content in contents(schema)
        if not is_typed(schema, content["schema"])
    ]
    assert untyped == []


def test_the_events_of_every_stream_are_typed(schema: Any) -> None:
    streams = [(name, content) for name, kind, content in contents(schema) if kind == "text/event-stream"]
    assert len(streams) >= 3
    untyped = [name for name, content in streams if "$ref" not in str(content["schema"])]
    assert untyped == []
    assert all(content["schema"]["description"] for _, content in streams)  # of the framing


def test_every_body_and_every_answer_has_a_valid_example(schema: Any) -> None:
    validators = Validators(schema)
    wrong = {}
    for name, media_type, content in contents(schema):
        if media_type in PICTURES:
            continue
        found = examples_of(content)
        problems = [each for example in found for each in validators.problems(content["schema"], example)]
        if not found or problems:
            wrong[f"{name} {media_type}"] = problems or "none"
    assert wrong == {}


def test_every_parameter_has_a_valid_example(schema: Any) -> None:
    validators = Validators(schema)
    wrong = {}
    for name, operation in operations(schema):
        for parameter in operation.get("parameters", []):
            found = examples_of(parameter)
            problems = [one for example in found for one in validators.problems(parameter["schema"], example)]
            if not found or problems:
                wrong[f"{name} {parameter['name']}"] = problems or "none"
    assert wrong == {}


def test_the_examples_of_components_are_valid(schema: Any) -> None:
    validators = Validators(schema)
    wrong = {}
    for name, component in schema["components"]["schemas"].items():
        for example in examples_of(component):
            if problems := validators.problems(component, example):
                wrong[name] = problems
    assert wrong == {}


def test_a_wrong_example_would_be_found(schema: Any) -> None:
    validators = Validators(schema)
    chunk = {"$ref": "#/components/schemas/ChatCompletionChunk"}
    assert validators.problems(chunk, {"id": 1, "object": "chat.completion.chunk"})
    assert validators.problems(
        {"$ref": "#/components/schemas/DoneEvent"}, {"id": 1, "event": "done", "data": {}}
    )
    assert not is_typed(schema, {"type": "object", "additionalProperties": {}})


def test_every_event_that_is_sent_is_a_type_with_an_example(schema: Any) -> None:
    sent = {*NAMES.values(), "moved"} - {NAMES[ToolCallDelta]}  # which only completions send, as chunks
    union = schema["components"]["schemas"][openapi_events.NAMED_EVENTS]
    assert set(union["discriminator"]["mapping"]) == sent == EVENTS.keys()
    for event, reference in union["discriminator"]["mapping"].items():
        component = resolved(schema, {"$ref": reference})
        assert component["properties"]["event"]["enum"] == [event]
        assert component["example"]["event"] == event
        assert {"$ref": reference} in union["oneOf"]
    assert (
        "id" not in resolved(schema, {"$ref": union["discriminator"]["mapping"][NAMES[Failed]]})["required"]
    )


def test_the_exports_example_has_the_fields_of_an_export() -> None:
    assert tuple(TEXTS["text/csv"].split("\r\n")[0].split(",")) == FIELDS
    assert tuple(LedgerLineSerializer().fields) == FIELDS


def test_every_value_of_the_data_is_one_of_a_field(schema: Any) -> None:
    components = schema["components"]["schemas"]
    named = {
        f"{name}.{field}"
        for name, component in components.items()
        for field in component.get("properties", {})
    }
    parameters = {
        one["name"] for _, operation in operations(schema) for one in operation.get("parameters", [])
    }
    plain = {name.rpartition(".")[2] for name in named} | parameters
    assert [name for name in example_data.FIELDS if name not in named | plain] == []
    assert [name for name in example_data.PARAMETERS if name not in parameters] == []


def test_the_named_parameters_of_a_completion_are_passed_on(schema: Any) -> None:
    named = openapi_completions.PASSED_ON
    assert passed_through(dict.fromkeys(named, "x")).keys() == named.keys()
    assert not named.keys() & {*OWN, *REFUSED}
    completion = schema["components"]["schemas"]["Completion"]
    assert completion["properties"].keys() == {*named, *OWN}
    assert completion["required"] == ["messages", "model"]


def test_only_bodies_that_are_passed_on_are_open(schema: Any) -> None:
    components = schema["components"]["schemas"]
    assert components["Completion"]["additionalProperties"] is True
    assert components["Send"]["additionalProperties"] is False


def test_no_component_has_the_name_of_a_class_of_generated_clients(schema: Any) -> None:
    taken = {"AuthenticatedClient", "Client", "File", "Response", "Unset"}  # openapi-python-client's
    assert not taken & schema["components"]["schemas"].keys()


def test_no_field_has_a_default_that_generators_would_make_mandatory(schema: Any) -> None:
    fields = schema["components"]["schemas"]["Completion"]["properties"]
    assert "Default: `false`" in fields["stream"]["description"]
    assert [
        (name, field)
        for name, component in schema["components"]["schemas"].items()
        for field, described in component.get("properties", {}).items()
        if "default" in described
    ] == []
