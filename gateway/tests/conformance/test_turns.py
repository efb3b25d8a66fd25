"""Turns on every engine, through the API: streamed, remembered, stopped, resumed, counted."""

import threading
from typing import Any

import httpx
import pytest

from accounts.tests.cast import Cast
from gateway.tests.conformance.engines import EngineUnderTest
from gateway.tests.events import STREAM, StreamEvent, body, parse, read_events, resume, send, text_of
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.wait import wait_until
from quotas.models import BudgetWindow, UsageRecord

pytestmark = [pytest.mark.conformance, pytest.mark.slow]


def test_a_new_conversation_streams_and_stores_its_reply(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    events = read_events(client, "hi there")
    assert events[0].type == "started"
    assert text_of(events) == "Hello there."
    assert [event.type for event in events][-2:] == ["usage", "done"]
    assert events[-1].data == {"finish_reason": "stop"}
    said = messages(client, events[0].data["conversation_id"])
    assert said == [("user", "hi there"), ("assistant", "Hello there.")]


def test_the_second_turn_remembers_the_first(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    client = client_of(cast.alice)
    first = send(client, "my name is Ada").json()
    send(client, "who am I", conversation_id=first["conversation_id"])
    received = [(message["role"], text_in(message)) for message in provider.requests[-1]["messages"]]
    assert received == [("user", "my name is Ada"), ("assistant", "Hello there."), ("user", "who am I")]


def test_stop_ends_the_reply_and_the_call_upstream(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["One ", "two ", threading.Event()])
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        received = parse(answer.iter_lines())
        events = until_text(received, "One two ")
        client.post(f"/v1/chat/turns/{events[0].data['turn_id']}/stop")
        events += received
    assert text_of(events) == "One two "
    assert events[-1].data == {"finish_reason": "cancelled"}
    assert provider.hangups.acquire(timeout=10)
    assert BudgetWindow.objects.get().reserved == 0
    assert events[-2].data["output_tokens"] == UsageRecord.objects.get().output_tokens > 0


def test_a_client_that_leaves_loses_nothing(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        started = next(parse(answer.iter_lines()))
    gate.set()
    turn = finished(client, started.data["turn_id"])
    assert (turn["reply"], turn["finish_reason"]) == ("One two", "stop")


def test_a_returning_client_gets_exactly_the_missing_events(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", "two ", gate, "three"])
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        seen = until_text(parse(answer.iter_lines()), "One two ")
    gate.set()
    rest = resume(client, seen[0].data["turn_id"], seen[-1].id - 3)
    assert text_of(rest) == "wo three"
    assert rest[-1].data == {"finish_reason": "stop"}


@pytest.mark.parametrize("status", [401, 429, 500])
def test_a_providers_refusal_is_an_error_with_its_status(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider, status: int
) -> None:
    provider.script = Script(status=status)
    answer = send(client_of(cast.alice), "hi")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (502, "provider_error")
    assert error["details"]["provider_status"] == status
    assert "sk-secret" not in answer.text
    assert BudgetWindow.objects.get().used == BudgetWindow.objects.get().reserved == 0


def test_a_provider_that_dies_leaves_the_partial_reply(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["Half ", "a "], dies=True)
    answer = send(client_of(cast.alice), "hi")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (502, "provider_error")
    assert error["details"]["reply"] == "Half a "
    assert BudgetWindow.objects.get().used > 0 == BudgetWindow.objects.get().reserved


def test_an_unknown_model_is_refused_before_anything_begins(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    answer = send(client_of(cast.alice), "hi", model="gpt-99")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_enabled")
    assert provider.requests == []


def test_a_tool_call_is_streamed_answered_and_counted(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    function = {"name": "add_mcp_calc", "arguments": '{"a": 2, "b": 40}'}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    provider.scripts = [
        Script(steps=[], tool_calls=[call], finish_reason="tool_calls"),
        Script(steps=["It is ", "42."]),
    ]
    events = read_events(client_of(cast.alice), "add them")
    shown = [event for event in events if event.type.startswith("tool_")]
    assert [event.type for event in shown] == ["tool_call", "tool_result"]
    assert shown[0].data["arguments"] == {"a": 2, "b": 40}
    assert shown[0].data["call_id"] == shown[1].data["call_id"] == "call_1"
    assert shown[1].data["is_error"] is True  # the workspace has no such server
    assert text_of(events) == "It is 42."
    assert counted() == provider.reported
    usage = events[-2].data
    assert usage["total_tokens"] == sum(map(sum, provider.reported))


def test_the_charge_is_exactly_the_providers_own_count(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["a ", "b "], usage=(123, 45))
    usage = send(client_of(cast.alice), "hi").json()["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["exactness"]) == (123, 45, "exact")
    assert BudgetWindow.objects.get().used == 168


def test_a_second_turn_in_the_conversation_is_refused_while_the_first_runs(
    tested: EngineUnderTest, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate, "two"])
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        started = next(parse(answer.iter_lines()))
        second = send(client, "more", conversation_id=started.data["conversation_id"])
        assert second.json()["error"]["details"]["turn_id"] == started.data["turn_id"]
    gate.set()
    assert finished(client, started.data["turn_id"])["reply"] == "One two"


def until_text(received: Any, text: str) -> list[StreamEvent]:
    """The events up to the one that completes `text`."""
    seen = [next(received)]
    while text_of(seen) != text:
        seen.append(next(received))
    return seen


def finished(client: httpx.Client, turn_id: str) -> dict[str, Any]:
    """The turn, once it is done."""
    address = f"/v1/chat/turns/{turn_id}"
    wait_until(lambda: client.get(address).json()["status"] == "done", 20)
    turn: dict[str, Any] = client.get(address).json()
    return turn


def messages(client: httpx.Client, conversation_id: str) -> list[tuple[str, str]]:
    rows = client.get(f"/v1/conversations/{conversation_id}/messages").json()["data"]
    return [(row["role"], row["content"]) for row in rows]


def text_in(message: dict[str, Any]) -> str:
    """A message's text; LibreChat sends earlier replies as lists of parts."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def counted() -> list[tuple[int, int]]:
    """The ledger's lines, one pair per call."""
    return [(line.input_tokens, line.output_tokens) for line in UsageRecord.objects.order_by("id")]
