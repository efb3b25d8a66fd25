"""Parameters, input and output of the Responses API, checked with OpenAI's own package."""

from typing import Any

import openai
import pytest

from gateway.api.responses.tests.package_client import checked, deltas, rebuilt, stream
from gateway.api.tests.raw_provider import RawProvider
from gateway.providers.tests.scripted_openai import DONE, chunk, usage
from gateway.tests.scripted_provider import ScriptedProvider


def test_it_answers_whole_and_streamed_with_the_clients_parameters(
    alice: openai.OpenAI, raw: RawProvider
) -> None:
    raw.answers(deltas({"content": "Hello"}, {"content": " there."}))
    request: dict[str, Any] = {
        "model": "gpt",
        "instructions": "Be brief.",
        "input": [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        ],
        "max_output_tokens": 90,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "Reply", "schema": {"type": "object"}, "strict": True},
        },
        "metadata": {"trace": "t1"},
        "prompt_cache_key": "k",
        "extra_body": {"top_k": 5},
    }
    answer = checked(alice.responses.create(**request))
    assert (answer.output_text, answer.status, answer.model) == ("Hello there.", "completed", "gpt")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (9, 4, 13)
    assert answer.usage.input_tokens_details.cached_tokens == 5
    assert answer.usage.output_tokens_details.reasoning_tokens == 2
    assert (answer.metadata, answer.temperature, answer.instructions) == ({"trace": "t1"}, 0.5, "Be brief.")
    sent = raw.requests[-1]
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": "Hello"},
    ]
    expected = {
        "max_tokens": 90,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning_effort": "low",
        "verbosity": "low",
        "prompt_cache_key": "k",
        "top_k": 5,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "Reply", "schema": {"type": "object"}, "strict": True},
        },
    }
    assert {name: sent.get(name) for name in expected} == expected
    assert not {"metadata", "store", "input", "text", "reasoning"} & sent.keys()

    events = stream(alice, model="gpt", input="Hello")
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "Hello there."
    assert events[-1].type == "response.completed"
    assert rebuilt(events) == [item.to_dict() for item in events[-1].response.output]
    counted = alice.responses.input_tokens.count(model="gpt", input="Hello", instructions="Be brief.")
    assert (counted.object, counted.input_tokens > 3) == ("response.input_tokens", True)
    with alice.responses.stream(model="gpt", input="Hello") as helper:
        assert helper.get_final_response().output_text == "Hello there."


def test_what_else_a_provider_answers_reaches_the_client(alice: openai.OpenAI, raw: RawProvider) -> None:
    citation = {
        "type": "url_citation",
        "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 2},
    }
    token = {"token": "So", "logprob": -0.1, "bytes": [83], "top_logprobs": []}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    raw.answers(
        [
            chunk(
                {"content": "So"},
                choices=[{"index": 0, "delta": {"content": "So"}, "logprobs": {"content": [token]}}],
            ),
            chunk({"annotations": [citation]}),
            chunk({"images": [picture]}),
            chunk(finish="length"),
            usage(prompt_tokens=1, completion_tokens=1),
            DONE,
        ],
    )
    request = {"model": "gpt", "input": "Hi", "include": ["message.output_text.logprobs"]}
    events = stream(alice, **request)
    assert raw.requests[-1]["logprobs"] is True
    assert events[-1].type == "response.incomplete"
    response = events[-1].response
    assert response.incomplete_details.reason == "max_output_tokens"
    message, image = response.output
    assert message.content[0].logprobs[0].token == "So"
    assert message.content[0].annotations[0].url == "https://a"
    assert [e.annotation.title for e in events if e.type == "response.output_text.annotation.added"] == ["A"]
    assert (image.type, image.result) == ("image_generation_call", "AAAA")
    assert rebuilt(events) == [item.to_dict() for item in response.output]

    raw.answers(deltas({"refusal": "I can"}, {"refusal": "not."}, finish="content_filter"))
    events = stream(alice, model="gpt", input="Hi")
    [message] = events[-1].response.output
    assert message.content[0].refusal == "I cannot."
    assert events[-1].response.incomplete_details.reason == "content_filter"


def test_images_files_and_odd_orders_reach_the_model(alice: openai.OpenAI, raw: RawProvider) -> None:
    raw.answers(deltas({"content": "Seen."}))
    png = "data:image/png;base64,AAAA"
    text = "data:text/plain;base64,aGVsbG8="
    items: Any = [
        {"role": "user", "content": [{"type": "input_image", "image_url": png, "detail": "low"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": {"a": 1}},
        {"role": "user", "content": [{"type": "input_file", "filename": "a.txt", "file_data": text}]},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_image", "image_url": png}],
        },
        {"type": "function_call_output", "call_id": "c2", "output": "two"},
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "server_label": "s",
            "name": "add",
            "arguments": "{}",
            "output": "3",
        },
        {"role": "assistant", "content": "So."},
        {"role": "user", "content": "Well?"},
    ]
    answer = alice.responses.create(model="gpt", input=items, store=False)
    assert answer.output_text == "Seen."
    sent = raw.requests[-1]["messages"]
    assert [message["role"] for message in sent] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "user",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert sent[0]["content"] == [{"type": "image_url", "image_url": {"url": png, "detail": "low"}}]
    assert [call["function"]["arguments"] for call in sent[1]["tool_calls"]] == ["{}", '{"a": 1}']
    assert sent[4]["content"][1] == {"type": "image_url", "image_url": {"url": png}}
    assert sent[5]["content"] == "a.txt:\n\nhello"
    assert (sent[6]["tool_calls"][0]["function"]["name"], sent[7]["content"]) == ("add_mcp_s", "3")


def test_truncation_leaves_out_the_oldest_messages_with_their_results(
    alice: openai.OpenAI, provider: ScriptedProvider
) -> None:
    long = "word " * 3000
    items: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": long},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": long},
        {"role": "user", "content": "Well?"},
    ]
    request: Any = {"model": "local", "input": items, "store": False, "max_output_tokens": 50}
    with pytest.raises(openai.BadRequestError) as refusal:
        alice.responses.create(**request)
    assert refusal.value.code == "context_length_exceeded"
    answer = alice.responses.create(**request, truncation="auto")
    assert (answer.status, answer.truncation) == ("completed", "auto")
    sent = provider.requests[-1]["messages"]
    assert sent[0] == {"role": "system", "content": "Be brief."}
    assert sent[-1] == {"role": "user", "content": "Well?"}
    assert "tool" not in {message["role"] for message in sent if message["content"] == "Well?"}
    assert len(sent) < 5
