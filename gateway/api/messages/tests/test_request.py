"""A Messages request is translated for other providers without losing what a client asked for."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.messages.request import completion_of
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.anthropic_native import for_other_providers
from gateway.providers.base import ModelRequest
from gateway.providers.openai import CompatibleProvider, OpenAIProvider
from kit.errors import InvalidInput

PNG = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
URL = "data:image/png;base64,AAAA"
USER: Any = {"role": "user", "content": "Hello"}


def body_for_openai(**fields: Any) -> dict[str, Any]:
    completion = completion_of({"model": "m", "max_tokens": 9, "messages": [USER], **fields}, {})
    request = ModelRequest(
        model="gpt",
        messages=completion.messages,
        max_tokens=9,
        temperature=completion.temperature,
        tools=completion.tools,
        extra=completion.extra,
        native=completion.native,
    )
    AnthropicProvider("https://anthropic.example/v1").body(request)
    return OpenAIProvider("https://openai.example/v1").body(request)


def messages_for_openai(*messages: Any, **fields: Any) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = body_for_openai(messages=list(messages), **fields)["messages"]
    return sent


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        (
            {"stop_sequences": ["END"], "top_p": 0.5, "temperature": 0.2},
            {"stop": ["END"], "top_p": 0.5, "temperature": 0.2},
        ),
        (
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        (
            {"tool_choice": {"type": "tool", "name": "f"}},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, {"reasoning_effort": "high"}),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}},
            {"reasoning_effort": "medium"},
        ),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, {}),
        ({"metadata": {"user_id": "u"}, "service_tier": "auto", "cache_control": {"type": "ephemeral"}}, {}),
        ({"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}, {}),
        ({"top_k": 5, "some_new_field": 1}, {"top_k": 5, "some_new_field": 1}),
    ],
)
def test_parameters_have_openais_names(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    body = body_for_openai(**fields)
    ours = ("model", "messages", "max_completion_tokens", "stream", "stream_options")
    assert {name: value for name, value in body.items() if name not in ours} == sent


def test_structured_output_is_asked_for() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"type": "json_schema", "schema": schema}
    for fields in ({"output_config": {"format": wanted}}, {"output_format": wanted}):
        assert body_for_openai(**fields)["response_format"]["json_schema"]["schema"] == schema


def test_content_becomes_parts_and_texts() -> None:
    content = [
        {"type": "text", "text": "Look.", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": PNG},
        {
            "type": "document",
            "title": "Report",
            "source": {"type": "text", "media_type": "text/plain", "data": "Well."},
        },
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
        {
            "type": "search_result",
            "title": "T",
            "source": "https://a",
            "content": [{"type": "text", "text": "Found."}],
        },
    ]
    system = [
        {"type": "text", "text": "Be"},
        {"type": "text", "text": "brief.", "cache_control": {"type": "ephemeral"}},
    ]
    assert messages_for_openai({"role": "user", "content": content}, system=system) == [
        {"role": "system", "content": "Be\n\nbrief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look."},
                {"type": "image_url", "image_url": {"url": URL}},
                {"type": "text", "text": "[Report]\n\nWell."},
                {
                    "type": "file",
                    "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"},
                },
                {"type": "text", "text": "[T]\nhttps://a\n\nFound."},
            ],
        },
    ]


def test_a_results_image_follows_all_results() -> None:
    use = [{"type": "tool_use", "id": id_, "name": "shot", "input": {}} for id_ in ("1", "2")]
    results = [
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "image", "source": PNG}]},
        {"type": "tool_result", "tool_use_id": "2"},
    ]
    sent = messages_for_openai(
        USER, {"role": "assistant", "content": use}, {"role": "user", "content": results}
    )
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool", "user"]
    assert (sent[1]["content"], len(sent[1]["tool_calls"])) == (None, 2)
    assert sent[4]["content"][1:] == [{"type": "image_url", "image_url": {"url": URL}}]
    assert "tool result 1" in sent[4]["content"][0]["text"]


def test_claudes_thinking_goes_only_to_claude() -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    said = {"role": "assistant", "content": [thinking, {"type": "text", "text": "Yes."}]}
    completion = completion_of({"model": "m", "max_tokens": 9, "messages": [USER, said, USER]}, {})

    def sent_to(model: str) -> Any:
        request = ModelRequest(model, completion.messages, max_tokens=9, native=completion.native)
        return CompatibleProvider("https://openrouter.example/v1").body(request)["messages"][1]

    assert sent_to("anthropic/claude-opus-5")["reasoning_details"][0]["signature"] == "sig"
    assert sent_to("deepseek-v4") == {"role": "assistant", "content": "Yes."}


def test_late_instructions_are_the_users_where_systems_come_first() -> None:
    late = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    assert messages_for_openai(USER, late)[1] == {"role": "system", "content": "Be brief."}
    completion = completion_of({"model": "m", "max_tokens": 9, "messages": [USER, late]}, {})
    request = ModelRequest("m", completion.messages, max_tokens=9, native=completion.native)
    marked = {"role": "user", "content": "<system-reminder>\nBe brief.\n</system-reminder>"}
    assert CompatibleProvider("https://a.example/v1").body(request)["messages"][1] == marked
    assert AnthropicProvider("https://a.example/v1").body(request)["messages"][1] == late


def test_a_damaged_carrier_is_no_error() -> None:
    damaged = [
        {"type": "thinking", "thinking": "Hm.", "signature": "switchyard.%%%"},
        {"type": "redacted_thinking", "data": "switchyard.eyJjYWxscyI6IDd9"},
        {"type": "redacted_thinking", "data": "switchyard."},
        {"type": "text", "text": "Yes."},
    ]
    sent = messages_for_openai(USER, {"role": "assistant", "content": damaged}, USER)
    assert sent[1]["content"] == "Yes."


def test_errors_name_the_clients_own_fields() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "ftp://a"}}
    for fields, name in (
        ({"messages": [USER, {"role": "user", "content": [image]}], "system": "s"}, "messages[1]"),
        ({"stop_sequences": ["x" * 200_000]}, "stop_sequences"),
        ({"messages": []}, "messages"),
        ({"system": "\ud800"}, "system"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            body_for_openai(**fields)
        assert list(refusal.value.details) == [name]


def sampled(names: str) -> st.SearchStrategy[str]:
    return st.sampled_from(names.split())


WORDS = sampled(
    """type text role user assistant system content source data image document tool_use tool_result thinking
    redacted_thinking search_result signature id input name tools tool_choice edits format effort"""
)
VALUES = st.none() | st.booleans() | st.integers(-1, 9) | WORDS
FLAT = VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(WORDS, VALUES, max_size=4)
BLOCKS = st.dictionaries(WORDS, FLAT | st.lists(FLAT, max_size=2), max_size=4)
JSON = FLAT | BLOCKS | st.lists(BLOCKS, max_size=3) | st.dictionaries(WORDS, FLAT | BLOCKS, max_size=4)
FIELDS = sampled(
    """messages system tools tool_choice thinking output_config output_format metadata stop_sequences model
    context_management temperature stream max_tokens"""
)


@given(st.dictionaries(FIELDS, JSON, min_size=1, max_size=3))
def test_nothing_but_a_named_refusal_answers_nonsense(fields: dict[str, Any]) -> None:
    with suppress(InvalidInput):
        body_for_openai(**fields)


def test_the_request_of_another_protocol_is_left_alone() -> None:
    request = ModelRequest(
        model="m", messages=[{"role": "user", "content": "Hi", "anthropic": {}}], max_tokens=9
    )
    assert for_other_providers(request) is request
