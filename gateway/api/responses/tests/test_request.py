"""A Responses request is translated or refused by name, for any input."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.responses import content, input_items, parameters, tools
from gateway.api.responses.request import ModelCall, model_call, parse_request, resolved
from gateway.api.responses.schema import ResponsesSerializer
from gateway.errors import PreviousResponseNotFound
from kit.errors import InvalidInput

WORDS = [
    *input_items.KNOWN,
    *input_items.MESSAGES,
    *input_items.RECORDS,
    *content.TEXTS,
    *tools.DEFINITIONS,
    *("namespace", "mcp", "local_shell", "allowed_tools", "auto", "required", "json_schema"),
    *("input_image", "input_file", "input_audio", "refusal", "c1", "c2"),
    *("data:text/plain;base64,aGk=", "data:image/png;base64,AA", "http://a"),
]
FIELDS = [
    *("type", "name", "role", "content", "text", "input", "output", "call_id", "id", "arguments", "tools"),
    *("namespace", "description", "format", "parameters", "strict", "server_label", "allowed_tools", "mode"),
    *("image_url", "file_data", "filename", "detail", "encrypted_content", "summary", "action", "refusal"),
]
TOP = sorted(parameters.OWN)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-2, 9), st.sampled_from([*WORDS, "", "\ud800"]))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
ITEMS = st.builds(
    lambda kind, more: {**more, "type": kind},
    st.sampled_from(WORDS),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5),
)


def translated(body: dict[str, Any]) -> ModelCall:
    request = parse_request(body)
    items = resolved(request.items, {})
    return model_call(request, tenant_id=uuid4(), history=[], items=items)


@given(
    st.lists(ITEMS, max_size=4),
    st.none() | st.lists(ITEMS, max_size=2),
    st.dictionaries(st.sampled_from(TOP), VALUES, max_size=3),
)
def test_no_input_is_a_bug(items: list[Any], offered: list[Any] | None, more: dict[str, Any]) -> None:
    try:
        call = translated({"model": "m", "input": items, "tools": offered, **more})
    except (InvalidInput, PreviousResponseNotFound):
        return
    roles = [message["role"] for message in call.completion.messages]
    assert len(call.translation.sources) == len(roles)
    assert set(roles) <= {"system", "user", "assistant", "tool"}


@pytest.mark.parametrize(
    ("choice", "sent", "offered"),
    [
        (
            {"type": "custom", "name": "b"},
            {"type": "function", "function": {"name": "b"}},
            ["a", "b", "n__c"],
        ),
        (
            {"type": "function", "name": "c", "namespace": "n"},
            {"type": "function", "function": {"name": "n__c"}},
            None,
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "b"}]},
            "required",
            ["b"],
        ),
        ("none", "none", ["a", "b", "n__c"]),
    ],
)
def test_a_tool_is_chosen_by_its_own_name(choice: Any, sent: Any, offered: list[str] | None) -> None:
    inner = {"type": "function", "name": "c"}
    defined = [
        {"type": "function", "name": "a"},
        {"type": "custom", "name": "b"},
        {"type": "namespace", "name": "n", "description": "", "tools": [inner]},
    ]
    completion = translated({"model": "m", "input": "Hi", "tools": defined, "tool_choice": choice}).completion
    assert completion.extra["tool_choice"] == sent
    if offered:
        assert [tool["function"]["name"] for tool in completion.tools] == offered


def test_errors_name_the_clients_own_fields() -> None:
    image = {"type": "input_image", "image_url": "ftp://a"}
    items = [{"role": "developer", "content": "A"}, {"role": "user", "content": ["x", image][1:]}]
    with pytest.raises(InvalidInput) as refusal:
        translated({"model": "m", "instructions": "Be brief.", "input": items})
    assert list(refusal.value.details) == ["input[1].content[0].image_url.url"]
    assert refusal.value.text.startswith("input[1].content[0].image_url.url: ")
    with pytest.raises(InvalidInput) as refusal:
        translated({"model": "m", "input": "Hi", "max_output_tokens": 0})
    assert list(refusal.value.details) == ["max_output_tokens"]


def test_the_schema_describes_every_parameter_of_this_route() -> None:
    described = set(ResponsesSerializer().fields)
    assert parameters.OWN - described == {"background", "client_metadata"}
    assert described - parameters.OWN == {"temperature", "top_p"}, "passed on, and common"
