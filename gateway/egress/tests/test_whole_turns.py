"""Whole turns of a replayed LibreChat: clients get the ends that its calls had at the egress."""

import threading
from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.conversations.tests.test_reply_extras import cited, data_url, image
from gateway.egress.tests.engine import counters, ledger
from gateway.egress.tests.test_refusals import limit_budget
from gateway.tests.events import STREAM, StreamEvent, body, parse, read_events, send, text_of
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.wait import wait_until
from kit.tenancy import tenant_scope
from workspaces.language_models.models import LanguageModel

pytestmark = pytest.mark.usefixtures("replayed")
CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "add_mcp_calc", "arguments": "{}"},
}


def ends(events: list[StreamEvent]) -> dict[str, dict[str, Any]]:
    return {event.type: event.data for event in events[-3:]}


def test_a_budget_that_runs_out_within_a_tool_loop_stops_the_next_call(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    limit_budget(cast, 100)
    provider.script = Script(
        steps=["Let me see. "], tool_calls=[CALL], finish_reason="tool_calls", usage=(40, 20)
    )
    events = read_events(client_of(cast.alice), "add them", max_tokens=50)
    ended = ends(events)
    assert text_of(events) == "Let me see. "
    assert ended["done"] == {"finish_reason": "quota_exceeded"}
    error = ended["error"]["error"]
    assert error["code"] == "quota_exceeded"
    figures = error["details"]
    assert (figures["limit"], figures["used"], figures["reserved"]) == (100, 60, 0)
    assert figures["requested"] > 50
    assert (ended["usage"]["total_tokens"], ended["usage"]["exactness"]) == (60, "exact")
    assert (ledger(), counters()) == ([(40, 20, "exact")], (60, 0))
    assert len(provider.requests) == 1


def test_a_reply_at_its_output_bound_finishes_with_length(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(finish_reason="length")
    answer = send(client_of(cast.alice), "hi", max_tokens=3).json()
    assert (answer["reply"], answer["finish_reason"]) == ("Hello there.", "length")
    assert provider.requests[0]["max_tokens"] == 3


def test_sources_and_images_that_the_engine_drops_are_in_the_reply(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    found = cited("https://a.example", "A")
    provider.script = Script(deltas=[{"annotations": [found], "images": [image(data_url())]}])
    alice = client_of(cast.alice)
    events = read_events(alice, "find it")
    named = {event.data["name"]: event.data["value"] for event in events if event.type == "extra"}
    assert named["annotations"] == [found]
    messages = alice.get(f"/v1/conversations/{events[0].data['conversation_id']}/messages").json()["data"]
    assert (messages[1]["content"], messages[1]["sources"]) == (
        "Hello there.",
        [{"url": "https://a.example", "title": "A"}],
    )
    assert [shown["id"] for shown in messages[1]["images"]] == [named["images"][0]["image_id"]]


def test_a_loop_with_too_many_calls_ends_with_tool_limit(
    client_of: Any, cast: Cast, provider: ScriptedProvider, settings: Any
) -> None:
    settings.TURN_MAX_CALLS = 3
    provider.script = Script(steps=[], tool_calls=[CALL], finish_reason="tool_calls")
    events = read_events(client_of(cast.alice), "forever")
    assert events[-1].data == {"finish_reason": "tool_limit"}
    assert [line[:2] for line in ledger()] == provider.reported
    assert len(provider.reported) == 3


def test_a_model_that_is_disabled_during_a_tool_loop_ends_the_turn_with_that_error(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["One ", gate], tool_calls=[CALL], finish_reason="tool_calls")
    client = client_of(cast.alice)
    with client.stream("POST", "/v1/chat/send", json=body("count"), headers=STREAM) as answer:
        said = parse(answer.iter_lines())
        next(said)
        wait_until(lambda: len(provider.requests) == 1)
        with tenant_scope(cast.alice.principal.tenant):
            LanguageModel.objects.update(enabled=False)
        gate.set()
        ended = ends(list(said))
    assert ended["error"]["error"]["code"] == "model_not_enabled"
    assert len(provider.requests) == 1
    assert counters()[1] == 0


def test_repeated_calls_of_an_engine_end_the_turn(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    replayed.secret = "wrong"
    answer = send(client_of(cast.alice), "hi")
    assert (answer.status_code, provider.requests) == (502, [])
    assert replayed.counters["model_calls"] == 1
    wait_until(lambda: counters() == (0, 0))
