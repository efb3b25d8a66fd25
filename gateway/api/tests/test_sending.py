"""Sending a message: a stream or one JSON, counted, stored, remembered."""

import json
from typing import Any

import httpx

from accounts.tests.cast import Cast
from gateway.tests.events import read_events, send
from gateway.tests.scripted_provider import ScriptedProvider
from quotas.models import UsageRecord


def test_one_json_holds_the_whole_turn(client_of: Any, cast: Cast) -> None:
    answer = send(client_of(cast.alice), "Say hello")
    assert answer.status_code == 200
    received = answer.json()
    assert received["reply"] == "Hello there."
    assert received["finish_reason"] == "stop"
    assert received["usage"] == {
        "input_tokens": 3,
        "output_tokens": 3,
        "total_tokens": 6,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "cost": 0,
        "exactness": "exact",
        "model": "local",
        "provider": "local",
        "call_ids": [str(UsageRecord.objects.get().call_id)],
    }
    assert (received["quota"]["used"], received["quota"]["reserved"]) == (6, 0)


def test_a_stream_has_started_deltas_usage_done_in_this_order(client_of: Any, cast: Cast) -> None:
    events = read_events(client_of(cast.alice), "Say hello")
    assert [event.type for event in events] == ["started", "delta", "delta", "delta", "usage", "done"]
    assert "".join(event.data["text"] for event in events if event.type == "delta") == "Hello there."
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert events[-1].data == {"finish_reason": "stop"}


def test_the_model_is_sent_the_conversations_earlier_turns(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    first = send(client, "I am Alice").json()
    send(client, "Who am I?", conversation_id=first["conversation_id"])
    assert provider.requests[-1]["messages"] == [
        {"role": "user", "content": "I am Alice"},
        {"role": "assistant", "content": "Hello there."},
        {"role": "user", "content": "Who am I?"},
    ]


def test_the_output_bound_reaches_the_provider(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    send(client_of(cast.alice), "hi", max_tokens=7, temperature=0.5)
    assert (provider.requests[-1]["max_tokens"], provider.requests[-1]["temperature"]) == (7, 0.5)


def test_messages_and_conversation_are_stored(client_of: Any, cast: Cast) -> None:
    client = client_of(cast.alice)
    received = send(client, "Say hello\nplease").json()
    listed = client.get("/v1/conversations?workspace_id=sales").json()["data"]
    assert [(row["title"], row["turn_count"], row["total_tokens"]) for row in listed] == [("Say hello", 1, 7)]
    messages = client.get(f"/v1/conversations/{received['conversation_id']}/messages").json()["data"]
    assert [(m["role"], m["content"]) for m in messages] == [
        ("user", "Say hello\nplease"),
        ("assistant", "Hello there."),
    ]


def test_the_oldest_turns_are_dropped_when_the_window_is_full(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    first = send(client, "old " * 2000).json()
    send(client, "middle " * 1500, conversation_id=first["conversation_id"])
    send(client, "new " * 100, conversation_id=first["conversation_id"])
    received = json.dumps(provider.requests[-1]["messages"])
    assert "new" in received
    assert "middle" in received
    assert "old" not in received


def test_a_message_larger_than_the_window_is_refused(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    answer: httpx.Response = send(client_of(cast.alice), "word " * 5000)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "context_too_long"
    assert provider.requests == []
