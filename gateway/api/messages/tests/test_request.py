"""A Messages request is translated for other providers without losing what a client asked for."""

from typing import Any

import pytest

from gateway.api.messages.request import completion_of
from gateway.providers.anthropic_native import for_other_providers
from gateway.providers.base import ModelRequest
from gateway.providers.openai import OpenAIProvider
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
    ):
        with pytest.raises(InvalidInput) as refusal:
            body_for_openai(**fields)
        assert list(refusal.value.details) == [name]


def test_the_request_of_another_protocol_is_left_alone() -> None:
    request = ModelRequest(
        model="m", messages=[{"role": "user", "content": "Hi", "anthropic": {}}], max_tokens=9
    )
    assert for_other_providers(request) is request
