"""The readers accept what the official protocols allow, and find what violates them."""

import json
from typing import Any

import pytest

from tests.cases.collection import Surface, all_cases
from tests.cases.http_answers import Answer
from tests.cases.judgement import faults_in
from tests.cases.messages import read_messages
from tests.cases.responses import read_responses

TEXT_ITEM = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello world", "annotations": []}],
}
CALL_ITEM = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "get_weather",
    "arguments": '{"city":"Paris"}',
    "status": "completed",
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [TEXT_ITEM, CALL_ITEM],
    "usage": {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 14,
    },
}
RESPONSES_STREAM: list[dict[str, Any]] = [
    {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
    {"type": "response.output_item.added", "output_index": 0, "item": {**TEXT_ITEM, "content": []}},
    {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hello "},
    {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "world"},
    {"type": "response.output_item.done", "output_index": 0, "item": TEXT_ITEM},
    {"type": "response.output_item.added", "output_index": 1, "item": {**CALL_ITEM, "arguments": ""}},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"city":'},
    {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '"Paris"}'},
    {"type": "response.completed", "response": RESPONSE},
]
MESSAGES_STREAM: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 11}}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "S"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hello world"}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": '{"city":"Paris"}'},
    },
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]
EXPECTED = {
    "text": "Hello world",
    "finish_reason": "tool_calls",
    "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}],
    "usage": {"input": 11, "output": 3},
}


def streamed(events: list[dict[str, Any]]) -> Answer:
    numbered = [{"sequence_number": number, **event} for number, event in enumerate(events)]
    lines = [
        line for event in numbered for line in (f"event: {event['type']}", f"data: {json.dumps(event)}", "")
    ]
    return Answer(status=200, lines=[(0.1, line) for line in lines])


def whole(body: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps(body).encode())


def test_a_streamed_and_a_whole_response_read_the_same() -> None:
    expect = {**EXPECTED, "usage": {"input": 11, "output": 3, "cached": 4, "reasoning": 1}}
    stream, body = read_responses(streamed(RESPONSES_STREAM)), read_responses(whole(RESPONSE))
    assert faults_in(expect, stream, Surface.RESPONSES_STREAMED) == []
    assert faults_in(expect, body, Surface.RESPONSES_WHOLE) == []


def test_a_streamed_message_is_read() -> None:
    found = read_messages(streamed(MESSAGES_STREAM))
    assert faults_in({**EXPECTED, "reasoning": "hm"}, found, Surface.MESSAGES_STREAMED) == []


@pytest.mark.parametrize("lost", range(len(RESPONSES_STREAM)))
def test_a_missing_event_of_a_response_is_found(lost: int) -> None:
    events = [event for number, event in enumerate(RESPONSES_STREAM) if number != lost]
    faults = faults_in(EXPECTED, read_responses(streamed(events)), Surface.RESPONSES_STREAMED)
    assert bool(faults) == (RESPONSES_STREAM[lost]["type"] != "response.output_item.done")


@pytest.mark.parametrize("lost", range(len(MESSAGES_STREAM)))
def test_a_missing_event_of_a_message_is_found(lost: int) -> None:
    events = [event for number, event in enumerate(MESSAGES_STREAM) if number != lost]
    expect = {**EXPECTED, "reasoning": "hm"}
    faults = faults_in(expect, read_messages(streamed(events)), Surface.MESSAGES_STREAMED)
    is_optional = MESSAGES_STREAM[lost]["type"] == "ping" or "signature_delta" in json.dumps(
        MESSAGES_STREAM[lost]
    )
    assert bool(faults) == (not is_optional)


def test_an_error_without_anthropics_shape_is_found() -> None:
    right = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}}
    wrong = {"error": {"code": "rate_limited", "message": "Slow down"}}
    expect = {"error": {"status": [429], "contains": ["Slow down"]}}
    assert faults_in(expect, read_messages(whole(right, 429)), Surface.MESSAGES_WHOLE) == []
    assert faults_in(expect, read_messages(whole(wrong, 429)), Surface.MESSAGES_WHOLE) != []


def test_every_case_has_a_unique_name_a_reason_and_a_surface() -> None:
    cases = all_cases(on_every_surface=True)
    assert len({(case.what, case.name) for case in cases}) == len(cases)
    assert all(case.data["why"] and case.surfaces for case in cases)
