"""Tools on every engine: they are offered, called and shown, and a person approves them first."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from accounts.models import AuditEntry
from accounts.tests.cast import Cast
from gateway.engines.cleanup import forget_removed_servers
from gateway.models import EngineServer, ToolRun
from gateway.tests.conformance.engines import EngineUnderTest
from gateway.tests.events import STREAM, StreamEvent, body, parse, read_events, send, text_of
from gateway.tests.real_mcp import RealMCP
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.tool_setup import MODEL, install_calculator
from kit.tenancy import tenant_scope
from workspaces.language_models.installation import set_fallback

pytestmark = [pytest.mark.conformance, pytest.mark.slow]
TURN = {"model": MODEL, "mcps": ["calculator"]}


@pytest.fixture
def installed(tested: EngineUnderTest, calculator: RealMCP, client_of: Any, cast: Cast) -> RealMCP:
    answer = install_calculator(client_of(cast.alice), calculator.url)
    assert answer.status_code == 201, answer.text
    return calculator


class Clever:
    """Scripts tool calls by the names under which the tools are offered."""

    def __init__(self, provider: ScriptedProvider) -> None:
        self.provider = provider

    def asks_for(self, *calls: tuple[str, dict[str, Any]]) -> None:
        self.provider.scripts = [Script(steps=[], calls=list(calls), finish_reason="tool_calls")]


@pytest.fixture
def clever(provider: ScriptedProvider) -> Clever:
    return Clever(provider)


def test_a_tool_is_called_and_the_model_gets_its_result(
    installed: RealMCP, clever: Clever, client_of: Any, cast: Cast
) -> None:
    clever.asks_for(("add", {"a": 2, "b": 40}))
    events = read_events(client_of(cast.bob), "what is 2 + 40?", **TURN)
    received = {event.type: event.data for event in events}
    assert {key: received["tool_call"][key] for key in ("server", "tool", "arguments")} == {
        "server": "calculator",
        "tool": "add",
        "arguments": {"a": 2, "b": 40},
    }
    assert (received["tool_result"]["output"], received["tool_result"]["is_error"]) == ("42.0", False)
    assert received["tool_result"]["duration_ms"] is not None
    assert text_of(events) == "Hello there."
    assert clever.provider.requests[-1]["messages"][-1]["content"] == "42.0"
    assert received["usage"]["total_tokens"] == sum(map(sum, clever.provider.reported))
    assert installed.calls == [("add", (2, 40))]
    line = AuditEntry.objects.get(action="tool.called")
    assert (line.target, line.actor_id) == ("calculator/add", cast.bob.principal.user_id)
    assert line.details["outcome"] == "done"


def test_several_tools_run_concurrently(
    installed: RealMCP, clever: Clever, client_of: Any, cast: Cast
) -> None:
    clever.asks_for(("meet", {}), ("meet", {}))
    events = read_events(client_of(cast.bob), "meet", **TURN)
    assert [event.data["output"] for event in events if event.type == "tool_result"] == ["met", "met"]


@pytest.mark.parametrize(
    ("decision", "output", "calls"),
    [("allow", "notes is gone", [("wipe", "notes")]), ("refuse", "refused", [])],
)
def test_a_person_approves_first(  # noqa: PLR0917 - fixtures
    installed: RealMCP,
    clever: Clever,
    client_of: Any,
    cast: Cast,
    decision: str,
    output: str,
    calls: list[Any],
) -> None:
    clever.asks_for(("wipe", {"what": "notes"}))
    received = converse(client_of(cast.bob), decision)
    steps = ["tool_call", "approval", "approval_resolved", "tool_result"]
    assert kinds(received) == ["started", *steps, "usage", "done"]
    approval = next(event.data for event in received if event.type == "approval")
    assert (approval["server"], approval["tool"], approval["arguments"]) == (
        "calculator",
        "wipe",
        {"what": "notes"},
    )
    result = next(event.data for event in received if event.type == "tool_result")
    assert output in result["output"]
    assert result["is_error"] is (decision == "refuse")
    assert installed.calls == calls


def test_a_fallback_model_must_support_tools_too(
    installed: RealMCP, clever: Clever, client_of: Any, cast: Cast
) -> None:
    """The local model cannot, so the turn fails instead of continuing without tools."""
    principal = cast.alice.principal
    with tenant_scope(principal.tenant):
        set_fallback(workspace_id=principal.workspace.id, slug=MODEL, fallback="local")
    clever.provider.script = Script(status=503)
    failed = send(client_of(cast.bob), "add", **TURN)
    error = failed.json()["error"]
    assert (failed.status_code, error["details"]["provider"]) == (502, "compatible")
    assert {request["model"] for request in clever.provider.requests} == {"clever-1"}


def test_in_a_shared_conversation_everyone_calls_tools_as_themselves(
    installed: RealMCP, clever: Clever, client_of: Any, cast: Cast
) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    here = read_events(alice, "hi", **TURN)[0].data["conversation_id"]
    alice.patch(f"/v1/conversations/{here}", json={"shared": True})
    for client in (bob, alice):
        clever.asks_for(("add", {"a": 1, "b": 1}))
        events = read_events(client, "add", conversation_id=here, **TURN)
        assert next(event.data["output"] for event in events if event.type == "tool_result") == "2.0"
    lines = AuditEntry.objects.filter(action="tool.called").order_by("at")
    assert [line.actor_id for line in lines] == [cast.bob.principal.user_id, cast.alice.principal.user_id]


def converse(client: Any, decision: str) -> list[StreamEvent]:
    def answer(path: str) -> None:
        assert client.post(path, json={"decision": decision}).status_code == 200

    return read_events(client, "wipe", on_approval=answer, **TURN)


def kinds(events: list[StreamEvent]) -> list[str]:
    return [event.type for event in events if event.type not in {"delta", "notice"}]


def test_an_unanswered_approval_expires(
    installed: RealMCP, clever: Clever, client_of: Any, cast: Cast, settings: Any
) -> None:
    settings.APPROVAL_SECONDS = 0.1
    clever.asks_for(("wipe", {"what": "notes"}))
    events = read_events(client_of(cast.bob), "wipe", **TURN)
    assert next(e.data["decision"] for e in events if e.type == "approval_resolved") == "expired"
    assert events[-1].data == {"finish_reason": "stop"}
    assert installed.calls == []


def test_a_stop_ends_a_turn_that_waits_for_a_person(
    installed: RealMCP, clever: Clever, client_of: Any, cast: Cast
) -> None:
    clever.asks_for(("wipe", {"what": "notes"}))
    bob, received = client_of(cast.bob), []
    with bob.stream("POST", "/v1/chat/send", json=body("wipe", **TURN), headers=STREAM) as answer:
        for event in parse(answer.iter_lines()):
            received.append(event)
            if event.type == "approval":
                assert bob.post(f"/v1/chat/turns/{received[0].data['turn_id']}/stop").is_success
    assert received[-1].data == {"finish_reason": "cancelled"}
    assert installed.calls == []


def test_a_denied_or_restricted_tool_does_not_run(
    installed: RealMCP, clever: Clever, client_of: Any, cast: Cast
) -> None:
    tools = "/v1/workspaces/sales/mcps/calculator/tools"
    alice = client_of(cast.alice)
    assert alice.patch(f"{tools}/flood", json={"allowed": False}).is_success
    schema = {"properties": {"a": {"maximum": 10}}}
    assert alice.patch(f"{tools}/add", json={"argument_schema": schema}).is_success
    clever.asks_for(("add", {"a": 11, "b": 1}), ("flood", {}))
    events = read_events(client_of(cast.bob), "add", **TURN)
    offered = [tool["function"]["name"] for tool in clever.provider.requests[0]["tools"]]
    assert not any(name.startswith("flood") for name in offered)
    results = [event.data for event in events if event.type == "tool_result"]
    assert any("does not allow" in result["output"] for result in results)
    assert all(result["is_error"] for result in results)
    assert installed.calls == []


def test_a_change_of_the_tools_applies_in_the_next_turn(
    installed: RealMCP, clever: Clever, client_of: Any, cast: Cast
) -> None:
    clever.asks_for(("add", {"a": 1, "b": 1}))
    read_events(client_of(cast.bob), "add", **TURN)
    alice = client_of(cast.alice)
    assert alice.patch("/v1/workspaces/sales/mcps/calculator/tools/meet", json={"allowed": False}).is_success
    read_events(client_of(cast.bob), "again", **TURN)
    offered = [
        {tool["function"]["name"].partition("_mcp_")[0] for tool in request["tools"]}
        for request in (clever.provider.requests[0], clever.provider.requests[-1])
    ]
    assert offered[0] - offered[1] == {"meet"}


def test_a_lying_server_is_not_called(installed: RealMCP, clever: Clever, client_of: Any, cast: Cast) -> None:
    installed.lie_about_add()
    clever.asks_for(("add", {"a": 1, "b": 1}))
    events = read_events(client_of(cast.bob), "add", **TURN)
    assert "has changed since it was accepted" in next(
        e.data["output"] for e in events if e.type == "tool_result"
    )
    assert installed.calls == []


def test_every_call_is_stored(installed: RealMCP, clever: Clever, client_of: Any, cast: Cast) -> None:
    clever.asks_for(("add", {"a": 1, "b": 1}), ("nothing", {}))
    read_events(client_of(cast.bob), "add", **TURN)
    with tenant_scope(cast.bob.principal.tenant):
        rows = set(ToolRun.objects.values_list("server", "tool", "state"))
    assert rows == {("calculator", "add", "done"), ("", "nothing", "denied")}


def test_a_removed_server_is_removed_at_the_engine(
    replayed: ReplayedLibreChat, calculator: RealMCP, clever: Clever, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    assert install_calculator(alice, calculator.url).status_code == 201
    read_events(client_of(cast.bob), "hi", **TURN)
    (names,) = [servers for servers in replayed.servers.by_account.values() if servers]
    assert [name.rpartition("-")[0] for name in names] == ["calculator"]
    assert alice.delete("/v1/workspaces/sales/mcps/calculator").status_code == 204
    async_to_sync(forget_removed_servers)()
    assert not names
    with tenant_scope(cast.bob.principal.tenant):
        assert not EngineServer.objects.exists()


def test_servers_are_registered_again_at_an_emptied_engine(
    replayed: ReplayedLibreChat, calculator: RealMCP, clever: Clever, client_of: Any, cast: Cast
) -> None:
    assert install_calculator(client_of(cast.alice), calculator.url).status_code == 201
    read_events(client_of(cast.bob), "hi", **TURN)
    replayed.reset()
    clever.asks_for(("add", {"a": 1, "b": 1}))
    read_events(client_of(cast.bob), "add", **TURN)
    assert calculator.calls == [("add", (1, 1))]


def test_two_concurrent_first_uses_register_one_server(
    replayed: ReplayedLibreChat, calculator: RealMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    assert install_calculator(client_of(cast.alice), calculator.url).status_code == 201
    with ThreadPoolExecutor(4) as pool:
        bobs = [client_of(cast.bob) for _ in range(4)]
        answers = list(pool.map(lambda bob: send(bob, "hi", **TURN).status_code, bobs))
    assert answers == [200] * 4
    assert sum(map(len, replayed.servers.by_account.values())) == 1


def test_an_engine_that_cannot_reach_the_egress_is_reported(
    replayed: ReplayedLibreChat, calculator: RealMCP, client_of: Any, cast: Cast, settings: Any
) -> None:
    assert install_calculator(client_of(cast.alice), calculator.url).status_code == 201
    settings.EGRESS_HEALTH_URL, settings.EGRESS_URL = settings.EGRESS_URL, "http://127.0.0.1:9"
    refused = send(client_of(cast.bob), "hi", **TURN)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (502, "engine_failed")
    assert "Failed to connect to MCP server" in error["details"]["engine_said"]


def test_a_call_with_invalid_arguments_is_an_error_and_does_not_run(
    installed: RealMCP, clever: Clever, client_of: Any, cast: Cast
) -> None:
    """LibreChat refuses it before calling the egress; otherwise the tool server does."""
    clever.asks_for(("add", {"a": "no number", "b": 1}))
    events = read_events(client_of(cast.bob), "add", **TURN)
    (result,) = [event.data for event in events if event.type == "tool_result"]
    assert result["is_error"] is True
    assert installed.calls == []
    assert events[-1].data == {"finish_reason": "stop"}


@pytest.mark.parametrize("flattens", [True, False])
def test_a_tool_that_was_never_offered_is_an_error_on_every_engine(
    replayed: ReplayedLibreChat, clever: Clever, client_of: Any, cast: Cast, flattens: bool
) -> None:
    replayed.flattens_tools = flattens
    clever.asks_for(("nothing", {}))
    events = read_events(client_of(cast.bob), "do it")
    (result,) = [event.data for event in events if event.type == "tool_result"]
    assert (result["is_error"], text_of(events)) == (True, "Hello there.")
