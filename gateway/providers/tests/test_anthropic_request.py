"""OpenAI-style requests are translated for Anthropic's Messages API."""

from typing import Any

import pytest

from gateway.errors import UnsupportedParameter
from gateway.providers.anthropic_parameters import is_adaptive
from gateway.providers.anthropic_request import messages_body
from gateway.providers.base import JsonObject, ModelRequest
from kit.errors import InvalidInput

HI = {"role": "user", "content": "hi"}
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {"properties": {"x": {}}},
        "strict": True,
    },
}
ADD = {
    "name": "add",
    "description": "Adds.",
    "input_schema": {"type": "object", "properties": {"x": {}}},
    "strict": True,
}


def body_of(*messages: JsonObject, **more: Any) -> JsonObject:
    request = ModelRequest(model="claude", messages=list(messages), max_tokens=20, **more)
    return messages_body(request)


def turns_of(*messages: JsonObject) -> list[tuple[str, list[JsonObject]]]:
    return [(turn["role"], turn["content"]) for turn in body_of(*messages)["messages"]]


def text(value: str) -> JsonObject:
    return {"type": "text", "text": value}


def call(call_id: str, arguments: str) -> JsonObject:
    return {"id": call_id, "type": "function", "function": {"name": "add", "arguments": arguments}}


OPENING = ("user", [text("(The conversation begins.)")])


def test_the_simplest_request() -> None:
    assert body_of(HI) == {
        "model": "claude",
        "max_tokens": 20,
        "messages": [{"role": "user", "content": [text("hi")]}],
        "stream": True,
    }


def test_system_and_developer_messages_become_the_one_system_prompt() -> None:
    body = body_of(
        {"role": "system", "content": "Be brief."},
        HI,
        {"role": "developer", "content": [text("Be kind."), text(" ")]},
        {"role": "system", "content": ""},
    )
    assert body["system"] == "Be brief.\n\nBe kind."
    assert body["messages"] == [{"role": "user", "content": [text("hi")]}]


def test_consecutive_messages_of_one_role_are_merged() -> None:
    messages = [HI, HI, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}, HI]
    assert turns_of(*messages) == [
        ("user", [text("hi"), text("hi")]),
        ("assistant", [text("a"), text("b")]),
        ("user", [text("hi")]),
    ]


def test_empty_contents_are_left_out() -> None:
    silent = [{"role": "assistant", "content": content} for content in ("", None, " \n", [], [text("")])]
    assert turns_of(HI, *silent, HI) == [("user", [text("hi"), text("hi")])]


@pytest.mark.parametrize("content", ["", None, []])
def test_a_conversation_without_text_still_has_a_message(content: Any) -> None:
    assert turns_of({"role": "user", "content": content}) == [OPENING]


def test_a_begun_reply_follows_an_opening_and_ends_without_white_space() -> None:
    assert turns_of({"role": "assistant", "content": "Well, "}) == [OPENING, ("assistant", [text("Well,")])]


def test_tool_calls_and_their_results() -> None:
    asked = {"role": "assistant", "content": "Let me.", "tool_calls": [call("a", '{"x": 1}'), call("b", "")]}
    first = {"role": "tool", "tool_call_id": "a", "content": "2"}
    second = {"role": "tool", "tool_call_id": "b", "content": ""}
    uses = [
        {"type": "tool_use", "id": "a", "name": "add", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "add", "input": {}},
    ]
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": [text("2")]},
        {"type": "tool_result", "tool_use_id": "b"},
    ]
    assert turns_of(HI, asked, first, {"role": "user", "content": "So?"}, second) == [
        ("user", [text("hi")]),
        ("assistant", [text("Let me."), *uses]),
        ("user", [*results, text("So?")]),
    ]


@pytest.mark.parametrize("written", ["{", "[1]", "7"])
def test_arguments_that_are_not_an_object_are_sent_as_text(written: str) -> None:
    turns = turns_of(HI, {"role": "assistant", "content": None, "tool_calls": [call("a", written)]})
    assert turns[1][1][0]["input"] == {"unreadable_arguments": written}


def test_ids_of_other_providers_are_made_to_fit() -> None:
    asked = {"role": "assistant", "tool_calls": [call("functions.add:0", "{}")]}
    turns = turns_of(HI, asked, {"role": "tool", "tool_call_id": "functions.add:0", "content": "1"})
    assert turns[1][1][0]["id"] == turns[2][1][0]["tool_use_id"] == "functions_add_0"


def test_images_by_url_and_in_base64() -> None:
    def image(url: Any) -> JsonObject:
        return {"type": "image_url", "image_url": url}

    parts = [
        image({"url": "data:image/PNG;base64,QUJD", "detail": "high"}),
        image("https://a/b.jpg"),
        text("What?"),
    ]
    assert turns_of({"role": "user", "content": parts}) == [
        (
            "user",
            [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
                {"type": "image", "source": {"type": "url", "url": "https://a/b.jpg"}},
                text("What?"),
            ],
        )
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {}},
        {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,QUJD"}},
        {"type": "image_url", "image_url": None},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": None},
        {"type": "video_url", "video_url": {}},
        {"no": "type"},
    ],
)
def test_untranslatable_content_is_refused_by_us(part: JsonObject) -> None:
    with pytest.raises(InvalidInput) as refusal:
        body_of({"role": "user", "content": [part]})
    assert list(refusal.value.details) == ["messages"]
    assert "Claude" in str(refusal.value.details)


def test_documents_as_pdf_and_text() -> None:
    def file(data: str) -> JsonObject:
        return {"type": "file", "file": {"filename": "a", "file_data": data}}

    own = {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}}
    pdf, plain = file("data:application/pdf;base64,QUJD"), file("data:text/plain;base64,QUJD")
    assert turns_of({"role": "user", "content": [pdf, plain, own]})[0][1] == [
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"},
            "title": "a",
        },
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "text/plain", "data": "QUJD"},
            "title": "a",
        },
        own,
    ]


CACHE = {"type": "ephemeral"}


def test_cache_marks_are_preserved_in_every_place() -> None:
    cached = {**text("Long."), "cache_control": CACHE}
    asked = {"role": "assistant", "tool_calls": [call("a", "{}")]}
    result = {"role": "tool", "tool_call_id": "a", "content": "1", "cache_control": CACHE}
    body = body_of(
        {"role": "system", "content": [text("Be brief."), cached]},
        {"role": "user", "content": "Long.", "cache_control": CACHE},
        asked,
        result,
        tools=[{**TOOL, "cache_control": CACHE}],
    )
    assert body["system"] == [text("Be brief."), cached]
    assert body["messages"][0]["content"] == [cached]
    assert body["messages"][2]["content"][0]["cache_control"] == CACHE
    assert body["tools"] == [{**ADD, "cache_control": CACHE}]


def test_claudes_thinking_goes_back_before_the_text_with_its_signature() -> None:
    details = [
        {"type": "reasoning.text", "text": "Hm", "signature": "EqQB", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "EmwK", "format": "anthropic-claude-v1"},
        {"type": "reasoning.text", "text": "unsigned", "format": "anthropic-claude-v1"},
        {"type": "reasoning.text", "text": "of another", "signature": "x", "format": "google-gemini-v1"},
    ]
    thoughts = [
        {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "EmwK"},
    ]
    asked = {"role": "assistant", "content": "Let me.", "tool_calls": [call("a", "{}")]}
    use = {"type": "tool_use", "id": "a", "name": "add", "input": {}}
    for fields in ({"reasoning_details": details}, {"thinking_blocks": thoughts}):
        assert turns_of(HI, {**asked, **fields})[1][1] == [*thoughts, text("Let me."), use]
    assert turns_of(HI, {**asked, "reasoning_content": "Hm"})[1][1] == [text("Let me."), use]


def test_a_failed_result_is_marked() -> None:
    asked = {"role": "assistant", "tool_calls": [call("a", "{}")]}
    result = {"role": "tool", "tool_call_id": "a", "content": "no", "is_error": True}
    assert turns_of(HI, asked, result)[2][1][0]["is_error"] is True


def test_tools_are_translated() -> None:
    bare = {"type": "function", "function": {"name": "now"}}
    custom = {"type": "custom", "custom": {"name": "patch", "description": "Edits."}}
    own = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}
    body = body_of(HI, tools=[TOOL, bare, custom, own])
    schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert body["tools"] == [
        ADD,
        {"name": "now", "input_schema": {"type": "object"}},
        {"name": "patch", "input_schema": schema, "description": "Edits."},
        own,
    ]
    assert "tool_choice" not in body


NAMED = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(
    ("extra", "choice"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": NAMED}, {"type": "tool", "name": "add"}),
        ({"tool_choice": {"type": "custom", "custom": {"name": "p"}}}, {"type": "tool", "name": "p"}),
        ({"tool_choice": {"type": "tool", "name": "add"}}, {"type": "tool", "name": "add"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": "required", "parallel_tool_calls": False},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": {"type": "allowed_tools"}, "parallel_tool_calls": True}, None),
    ],
)
def test_tool_choice_is_translated(extra: JsonObject, choice: JsonObject | None) -> None:
    assert body_of(HI, tools=[TOOL], extra=extra).get("tool_choice") == choice
    assert "tool_choice" not in body_of(HI, extra=extra)


def test_tools_of_earlier_turns_are_defined_but_not_offered() -> None:
    asked = {"role": "assistant", "tool_calls": [call("a", "{}"), call("b", "{}")]}
    results = [{"role": "tool", "tool_call_id": name, "content": "1"} for name in "ab"]
    body = body_of(HI, asked, *results)
    assert body["tools"] == [{"name": "add", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "none"}


@pytest.mark.parametrize(
    ("temperature", "extra", "sent"),
    [
        (1.7, {}, {"temperature": 1.0}),
        (0.0, {"top_p": 0.5}, {"temperature": 0.0}),
        (None, {"top_p": 0.5}, {"top_p": 0.5}),
        (None, {"stop": "END"}, {"stop_sequences": ["END"]}),
        (None, {"stop": ["a", "\n", "b", 7]}, {"stop_sequences": ["a", "b"]}),
        (None, {"stop": "\n\n"}, {}),
        # Values that change nothing.
        (None, {"logit_bias": {}, "response_format": {"type": "text"}, "presence_penalty": 0}, {}),
        (None, {"logprobs": False, "top_logprobs": 0, "verbosity": "medium", "service_tier": "default"}, {}),
        (None, {"store": True, "prompt_cache_key": "k", "metadata": {}, "modalities": ["text"]}, {}),
        # Anthropic's own parameters, or another server's.
        (None, {"top_k": 5, "of_next_year": {"x": 1}}, {"top_k": 5, "of_next_year": {"x": 1}}),
        (None, {"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        (None, {"metadata": {"user_id": "u2"}, "user": "u1"}, {"metadata": {"user_id": "u2"}}),
        (None, {"safety_identifier": "u3"}, {"metadata": {"user_id": "u3"}}),
        (None, {"service_tier": "standard_only"}, {"service_tier": "standard_only"}),
    ],
)
def test_parameters_are_translated_or_passed_on(
    temperature: float | None, extra: JsonObject, sent: JsonObject
) -> None:
    plain = body_of(HI)
    assert body_of(HI, temperature=temperature, extra=extra) == {**plain, **sent}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("presence_penalty", 1),
        ("frequency_penalty", 0.5),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("logit_bias", {"50256": -100}),
        ("seed", 1),
        ("seed", 0),
        ("prediction", {"type": "content", "content": "x"}),
        ("verbosity", "low"),
        ("modalities", ["text", "audio"]),
        ("web_search_options", {}),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema"}),
        ("metadata", {"user_id": "u", "team": "a"}),
        ("service_tier", "priority"),
    ],
)
def test_parameters_that_claude_lacks_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UnsupportedParameter) as refusal:
        body_of(HI, extra={name: value})
    assert list(refusal.value.details) == [name]


def test_structured_output_is_claudes_own() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
    output = {"format": {"type": "json_schema", "schema": schema}}
    assert body_of(HI, extra={"response_format": wanted})["output_config"] == output
    both = body_of(HI, extra={"response_format": wanted, "output_config": {"effort": "low"}})
    assert both["output_config"] == {"effort": "low", **output}


@pytest.mark.parametrize(
    ("model", "extra", "thinking"),
    [
        ("claude-sonnet-4-5", {"reasoning_effort": "low"}, {"type": "enabled", "budget_tokens": 2000}),
        ("claude-sonnet-4-5", {"reasoning_effort": "high"}, {"type": "enabled", "budget_tokens": 8000}),
        (
            "claude-sonnet-4-5",
            {"reasoning": {"effort": "medium"}},
            {"type": "enabled", "budget_tokens": 5000},
        ),
        (
            "claude-sonnet-4-5",
            {"reasoning": {"max_tokens": 3000}},
            {"type": "enabled", "budget_tokens": 3000},
        ),
        (
            "claude-sonnet-4-5",
            {"reasoning": {"max_tokens": 99_000}},
            {"type": "enabled", "budget_tokens": 9999},
        ),
        ("claude-sonnet-4-5", {"reasoning_effort": "minimal"}, {"type": "enabled", "budget_tokens": 1024}),
        ("claude-sonnet-4-5", {"reasoning_effort": "none"}, None),
        ("claude-opus-4-6", {"reasoning_effort": "high"}, {"type": "adaptive"}),
        (
            "claude-opus-4-6",
            {"reasoning": {"effort": "unknown", "max_tokens": 3000}},
            {"type": "enabled", "budget_tokens": 3000},
        ),
        (
            "claude-sonnet-4-5",
            {"thinking": {"type": "disabled"}, "reasoning_effort": "low"},
            {"type": "disabled"},
        ),
    ],
)
def test_reasoning_effort_becomes_thinking(
    model: str, extra: JsonObject, thinking: JsonObject | None
) -> None:
    request = ModelRequest(model=model, messages=[HI], max_tokens=10_000, extra=extra)
    body = messages_body(request)
    assert body.get("thinking") == thinking
    assert "reasoning_effort" not in body
    assert "reasoning" not in body


def test_a_model_that_thinks_gets_no_temperature_and_adapts_by_its_effort() -> None:
    request = ModelRequest(
        model="claude-opus-4-6",
        messages=[HI],
        max_tokens=10_000,
        temperature=0.2,
        extra={"reasoning_effort": "high", "top_p": 0.5},
    )
    body = messages_body(request)
    assert body["output_config"] == {"effort": "high"}
    assert not {"temperature", "top_p"} & body.keys()


def test_there_is_no_thinking_without_space_for_it() -> None:
    assert "thinking" not in body_of(HI, extra={"reasoning_effort": "high"})


@pytest.mark.parametrize(
    ("model", "adapts"),
    [
        ("claude-3-7-sonnet-20250219", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-sonnet-4-5-20250929", False),
        ("claude-haiku-4.5", False),
        ("claude-opus-4-6", True),
        ("claude-opus-4-10", True),
        ("anthropic/claude-sonnet-5", True),
        ("us.anthropic.claude-opus-4-6-v1:0", True),
        ("claude", False),
        ("my-model", False),
    ],
)
def test_newer_models_decide_themselves_how_much_to_think(model: str, adapts: bool) -> None:
    assert is_adaptive(model) is adapts


def test_the_request_is_not_modified() -> None:
    asked = {"role": "assistant", "content": [text("Well, ")]}
    body_of(HI, asked)
    assert asked == {"role": "assistant", "content": [text("Well, ")]}
