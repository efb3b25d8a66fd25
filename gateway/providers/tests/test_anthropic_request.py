"""OpenAI-style requests are translated for Anthropic's Messages API."""

from typing import Any

import pytest

from gateway.errors import ProviderError
from gateway.providers.anthropic_request import messages_body
from gateway.providers.base import JsonObject, ModelRequest

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
ADD = {"name": "add", "description": "Adds.", "input_schema": {"type": "object", "properties": {"x": {}}}}


def body_of(*messages: JsonObject, **more: Any) -> JsonObject:
    request = ModelRequest(model="claude", messages=list(messages), max_tokens=20, **more)
    return messages_body(request, provider="anthropic")


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
        {"no": "type"},
    ],
)
def test_what_cannot_be_translated_is_refused_before_it_is_sent(part: JsonObject) -> None:
    with pytest.raises(ProviderError) as refusal:
        body_of({"role": "user", "content": [part]})
    assert refusal.value.did_no_work
    assert refusal.value.details["provider_status"] == 400


def test_tools_are_translated() -> None:
    bare = {"type": "function", "function": {"name": "now"}}
    body = body_of(HI, tools=[TOOL, bare, {"type": "custom", "custom": {}}])
    assert body["tools"] == [ADD, {"name": "now", "input_schema": {"type": "object"}}]
    assert "tool_choice" not in body


NAMED = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(
    ("extra", "choice"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": NAMED}, {"type": "tool", "name": "add"}),
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
        (None, {"seed": 1, "logit_bias": {}, "response_format": {}, "presence_penalty": 1}, {}),
    ],
)
def test_parameters_are_translated_or_left_out(
    temperature: float | None, extra: JsonObject, sent: JsonObject
) -> None:
    plain = body_of(HI)
    assert body_of(HI, temperature=temperature, extra=extra) == {**plain, **sent}


def test_the_request_is_not_modified() -> None:
    asked = {"role": "assistant", "content": [text("Well, ")]}
    body_of(HI, asked)
    assert asked == {"role": "assistant", "content": [text("Well, ")]}
