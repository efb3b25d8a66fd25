"""Whole turns of a replayed LibreChat: what its calls met at the egress is what the client is told."""

import threading
from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.egress.tests.engine import counters, ledger
from gateway.egress.tests.test_refusals import limit_budget
from gateway.tests.events import STREAM, Told, body, parse, read_events, send, text_of
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


def ends(events: list[Told]) -> dict[str, dict[str, Any]]:
    return {event.type: event.data for event in events[-3:]}


def test_a_budget_that_runs_out_within_a_tool_loop_stops_the_next_call(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    limit_budget(cast, 100)
    provider.script = Script(
        steps=["Let me see. "], tool_calls=[CALL], finish_reason="tool_calls", usage=(40, 20)
    )
    events = read_events(client_of(cast.alice), "add them", max_tokens=50)
    told = ends(events)
    assert text_of(events) == "Let me see. "
    assert told["done"] == {"finish_reason": "quota_exceeded"}
    error = told["error"]["error"]
    assert error["code"] == "quota_exceeded"
    figures = error["details"]
    assert (figures["limit"], figures["used"], figures["reserved"]) == (100, 60, 0)
    assert figures["requested"] > 50
    assert (told["usage"]["total_tokens"], told["usage"]["exactness"]) == (60, "exact")
    assert (ledger(), counters()) == ([(40, 20, "exact")], (60, 0))
    assert len(provider.requests) == 1


def test_a_reply_that_was_cut_by_its_bound_says_so(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(finish_reason="length")
    answer = send(client_of(cast.alice), "hi", max_tokens=3).json()
    assert (answer["reply"], answer["finish_reason"]) == ("Hello there.", "length")
    assert provider.requests[0]["max_tokens"] == 3


def test_a_loop_that_makes_more_calls_than_a_turn_may_ends_with_the_tool_limit(
    client_of: Any, cast: Cast, provider: ScriptedProvider, settings: Any
) -> None:
    settings.TURN_MAX_CALLS = 3
    provider.script = Script(steps=[], tool_calls=[CALL], finish_reason="tool_calls")
    events = read_events(client_of(cast.alice), "forever")
    assert events[-1].data == {"finish_reason": "tool_limit"}
    assert [line[:2] for line in ledger()] == provider.told
    assert len(provider.told) == 3


def test_a_model_that_is_disabled_within_a_tool_loop_is_named(
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
        told = ends(list(said))
    assert told["error"]["error"]["code"] == "model_not_enabled"
    assert len(provider.requests) == 1
    assert counters()[1] == 0


def test_an_engine_that_repeats_its_calls_is_refused_for_good(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    replayed.secret = "wrong"
    answer = send(client_of(cast.alice), "hi")
    assert (answer.status_code, provider.requests) == (502, [])
    assert replayed.counters["model_calls"] == 1
    wait_until(lambda: counters() == (0, 0))
