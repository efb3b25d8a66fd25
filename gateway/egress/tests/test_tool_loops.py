"""A tool loop of a replayed LibreChat costs exactly what the provider reported for each call."""

from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.egress.tests.engine import counters, ledger
from gateway.tests.events import read_events, send, text_of
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.scripted_provider import Script, ScriptedProvider
from quotas.models import UsageRecord


def asks(number: int, **more: Any) -> Script:
    """The model calls its tool again."""
    function = {"name": "add_mcp_calc", "arguments": '{"a": 2, "b": 40}'}
    call = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
    return Script(steps=[], tool_calls=[call], finish_reason="tool_calls", **more)


def test_a_tool_loop_is_charged_as_the_provider_reported(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.scripts = [asks(1), asks(2, usage=(70, 8)), Script(steps=["It is ", "42."])]
    events = read_events(client_of(cast.alice), "add them twice")
    assert (text_of(events), events[-1].data) == ("It is 42.", {"finish_reason": "stop"})
    assert len(provider.reported) == 3
    assert ledger() == [(*pair, "exact") for pair in provider.reported]
    assert len(set(UsageRecord.objects.values_list("turn_id", "purpose", "engine"))) == 1
    spent = sum(map(sum, provider.reported))
    assert (events[-2].data["total_tokens"], counters()) == (spent, (spent, 0))


@pytest.mark.parametrize("status", [401, 500])
def test_a_refused_call_is_not_repeated_by_the_engine(
    replayed: ReplayedLibreChat, client_of: Any, cast: Cast, provider: ScriptedProvider, status: int
) -> None:
    provider.script = Script(status=status)
    answer = send(client_of(cast.alice), "hi")
    assert (answer.status_code, answer.json()["error"]["details"]["provider_status"]) == (502, status)
    assert replayed.counters["model_calls"] == 1
    assert (ledger(), counters()) == ([], (0, 0))
