"""The MCP egress: who may knock, what is shown, and that nothing runs which no model asked for."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.engine_accounts import member_account
from accounts.models import AuditEntry
from accounts.tests.cast import Cast, Person
from gateway.calls.approvals import decide
from gateway.calls.tool_runs import TOO_LATE, Caller, OpenedRun, close_run
from gateway.egress.consumers import EngineConsumer
from gateway.egress.routed_tools import open_calls, unjudged_calls
from gateway.egress.tests.engine import PING, Engine, EngineTurn, begin_turn, deltas, told
from gateway.egress.tool_claims import NO_CALL
from gateway.egress.turn_lookup import RoutedTurn
from gateway.engines.librechat.registrations import ROOM, engine_name, find_registration, note_registration
from gateway.models import EngineServer, ToolRun, Turn
from gateway.providers.tool_calls import merge_tool_calls
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.tool_stand import MODEL, install_calculator
from kit.tenancy import tenant_scope
from workspaces.mcp_servers.queries import enabled_servers
from workspaces.models import MCPServer

NAME = "calculator-abc123"
OFFERED = [{"type": "function", "function": {"name": f"{tool}_mcp_{NAME}"}} for tool in ("add", "wipe")]


@dataclass(frozen=True)
class Door:
    """The address that an engine account has for the calculator."""

    engine: Engine
    path: str
    secret: str

    def ask(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}, **more}
        headers = {"Authorization": f"Bearer {self.secret}"}
        return self.engine.client.post(self.path, json=body, headers=headers)

    def call(self, tool: str, **arguments: Any) -> tuple[str, bool]:
        result = self.ask("tools/call", {"name": tool, "arguments": arguments}).json()["result"]
        return result["content"][0]["text"], result["isError"]


def door_of(person: Person, engine: Engine) -> Door:
    principal = person.principal
    account = member_account(engine="librechat", tenant_id=principal.tenant.id, user_id=principal.user_id)
    with tenant_scope(principal.tenant):
        server = enabled_servers(workspace_id=principal.workspace.id, slugs=["calculator"])[0]
        row = find_registration(engine_account_id=account.id, server_id=server.id, user_id=principal.user_id)
        note_registration(row.id, name=NAME, version=server.version)
    return Door(engine, f"/mcp/{principal.tenant.slug}.{row.id.hex}", row.secret)


@pytest.fixture
def door(calculator: RealMCP, engine: Engine, client_of: Any, cast: Cast) -> Door:
    assert install_calculator(client_of(cast.alice), calculator.url).status_code == 201
    return door_of(cast.alice, engine)


def begin(cast: Cast) -> EngineTurn:
    turn = begin_turn(cast.alice, model=MODEL)
    with tenant_scope(turn.tenant):
        ids = [str(row.id) for row in MCPServer.objects.filter(slug="calculator")]
        Turn.objects.filter(id=turn.id).update(parameters={"mcps": ["calculator"], "mcp_ids": ids})
    return turn


def asked(engine: Engine, turn: EngineTurn, provider: ScriptedProvider, *calls: Any) -> list[dict[str, Any]]:
    """The model asks for the calls, and the engine hears of them."""
    provider.scripts = [Script(steps=[], calls=list(calls), finish_reason="tool_calls")]
    return merge_tool_calls(deltas(told(engine.call(turn, tools=OFFERED)), "tool_calls"))


def test_what_the_model_asked_for_runs_once(
    door: Door, cast: Cast, provider: ScriptedProvider, calculator: RealMCP
) -> None:
    asked(door.engine, begin(cast), provider, ("add", {"a": 2, "b": 40}))
    assert door.call("add", b=40.0, a=2) == ("42.0", False)  # as JavaScript might write it
    assert door.call("add", a=2, b=40) == (NO_CALL, True)
    assert calculator.calls == [("add", (2, 40))]
    line = AuditEntry.objects.get(action="tool.called")
    assert (line.target, line.actor_id) == ("calculator/add", cast.alice.principal.user_id)


def test_servers_are_read_once_however_many_calls_a_model_makes_at_a_time(
    door: Door, cast: Cast, provider: ScriptedProvider
) -> None:
    turn = begin(cast)
    caller = Caller(turn.tenant, cast.alice.principal.workspace.id, cast.alice.principal.user_id, turn.id)
    account = member_account(
        engine="librechat", tenant_id=turn.tenant.id, user_id=cast.alice.principal.user_id
    )
    with tenant_scope(turn.tenant):
        ids = tuple(str(row.id) for row in MCPServer.objects.filter(slug="calculator"))
    routed = RoutedTurn(turn.id, caller, (), engine_account_id=account.id, server_ids=ids)
    function = {"name": f"add_mcp_{NAME}", "arguments": '{"a": 2, "b": 40}'}

    def reads(number: int) -> int:
        calls = [{"id": f"{number}-{place}", "function": function} for place in range(number)]
        with tenant_scope(turn.tenant), CaptureQueriesContext(connection) as queries:
            assert unjudged_calls(turn=routed, calls=calls) == {}
            _, runs = open_calls(turn=routed, calls=calls, judged={})
        assert [(run.server, run.refusal) for run in runs] == [("calculator", "")] * number
        return sum('FROM "workspaces_mcpserver"' in query["sql"] for query in queries)

    assert reads(12) == reads(1)


def test_what_no_model_asked_for_never_runs(
    door: Door, cast: Cast, provider: ScriptedProvider, calculator: RealMCP
) -> None:
    assert door.call("add", a=2, b=40) == (NO_CALL, True)
    turn = begin(cast)
    assert door.call("add", a=2, b=40) == (NO_CALL, True)
    asked(door.engine, turn, provider, ("add", {"a": 2, "b": 40}))
    assert door.call("add", a=2, b=41) == (NO_CALL, True)
    assert door.call("wipe", what="notes") == (NO_CALL, True)
    with tenant_scope(turn.tenant):
        Turn.objects.filter(id=turn.id).update(status=Turn.Status.DONE)
    assert door.call("add", a=2, b=40) == (NO_CALL, True)
    assert calculator.calls == []


def test_another_accounts_call_is_not_taken_up(
    door: Door, cast: Cast, provider: ScriptedProvider, calculator: RealMCP
) -> None:
    asked(door.engine, begin(cast), provider, ("add", {"a": 2, "b": 40}))
    assert door_of(cast.bob, door.engine).call("add", a=2, b=40) == (NO_CALL, True)
    assert calculator.calls == []


def test_in_a_shared_account_each_has_their_own_calls(
    door: Door, cast: Cast, provider: ScriptedProvider, calculator: RealMCP
) -> None:
    """Somebody who goes on in another's conversation does so by the other's account at the engine."""
    turn = begin(cast)
    asked(door.engine, turn, provider, ("add", {"a": 2, "b": 40}))
    with tenant_scope(turn.tenant):
        Turn.objects.filter(id=turn.id).update(user_id=cast.bob.principal.user_id)
    assert door.call("add", a=2, b=40) == (NO_CALL, True)
    assert calculator.calls == []


def test_an_engine_is_kept_waiting_with_pings_while_a_person_is_asked(
    door: Door, cast: Cast, provider: ScriptedProvider, calculator: RealMCP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own patience with a tool is a minute; with a model call that says something it has more."""
    monkeypatch.setattr(EngineConsumer, "ping_seconds", 0.05)
    turn = begin(cast)
    wipes = Script(steps=["I wipe."], calls=[("wipe", {"what": "notes"})], finish_reason="tool_calls")
    provider.scripts = [wipes]
    with door.engine.calling(turn, tools=OFFERED) as said:
        assert deltas([next(said) for _ in range(2)], "content") == ["I wipe."]
        assert [next(said) for _ in range(3)] == [PING] * 3
        with tenant_scope(turn.tenant):
            run, person = ToolRun.objects.get(), cast.alice.principal.user_id
            assert decide(turn_id=turn.id, run_id=run.id, state=ToolRun.State.ALLOWED, user_id=person)
        rest = [piece for piece in said if piece != PING]
    (call,) = merge_tool_calls(deltas(rest, "tool_calls"))
    assert call["function"]["name"] == f"wipe_mcp_{NAME}"
    assert door.call("wipe", what="notes") == ("notes is gone", False)


def test_what_was_not_taken_up_before_the_model_is_asked_again_has_expired(
    door: Door, cast: Cast, provider: ScriptedProvider, calculator: RealMCP
) -> None:
    turn = begin(cast)
    asked(door.engine, turn, provider, ("add", {"a": 1, "b": 1}))
    provider.scripts = [Script(steps=[], calls=[("add", {"a": 2, "b": 2})], finish_reason="tool_calls")]
    told(door.engine.call(turn, tools=OFFERED, messages=[{"role": "user", "content": "again"}]))
    assert door.call("add", a=1, b=1) == (TOO_LATE, True)
    assert door.call("add", a=2, b=2) == ("4.0", False)
    assert calculator.calls == [("add", (2, 2))]


def test_a_call_is_audited_also_where_its_conversation_is_gone(cast: Cast) -> None:
    who = cast.alice.principal
    caller = Caller(who.tenant, who.workspace.id, who.user_id, uuid4())
    with tenant_scope(who.tenant):
        run = OpenedRun(id=uuid4(), server="calculator", tool="wipe")
        close_run(caller=caller, run=run, is_error=False, spent_ms=12)
    line = AuditEntry.objects.get(action="tool.called")
    assert (line.target, line.details["outcome"]) == ("calculator/wipe", "done")


def test_what_was_forbidden_meanwhile_does_not_run(
    door: Door, cast: Cast, provider: ScriptedProvider, calculator: RealMCP, client_of: Any
) -> None:
    asked(door.engine, begin(cast), provider, ("add", {"a": 2, "b": 40}))
    schema = {"properties": {"a": {"maximum": 1}}}
    tool = "/v1/workspaces/sales/mcps/calculator/tools/add"
    assert client_of(cast.alice).patch(tool, json={"argument_schema": schema}).is_success
    text, is_error = door.call("add", a=2, b=40)
    assert "does not allow" in text
    assert is_error
    assert calculator.calls == []


def test_a_turn_without_the_server_asks_for_nothing_of_it(
    door: Door, cast: Cast, provider: ScriptedProvider, calculator: RealMCP
) -> None:
    asked(door.engine, begin_turn(cast.alice, model=MODEL), provider, ("add", {"a": 2, "b": 40}))
    assert door.call("add", a=2, b=40) == (NO_CALL, True)


def test_ids_that_repeat_are_told_apart(door: Door, cast: Cast, provider: ScriptedProvider) -> None:
    turn = begin(cast)
    first = asked(door.engine, turn, provider, ("add", {"a": 1, "b": 1}))
    provider.scripts = []
    asked_again = {"messages": [{"role": "user", "content": "again"}]}
    provider.scripts = [Script(steps=[], calls=[("add", {"a": 2, "b": 2})], finish_reason="tool_calls")]
    second = merge_tool_calls(
        deltas(told(door.engine.call(turn, tools=OFFERED, **asked_again)), "tool_calls")
    )
    assert first[0]["id"] != second[0]["id"]
    with tenant_scope(turn.tenant):
        assert ToolRun.objects.values("call_id").distinct().count() == 2


def test_only_allowed_tools_are_shown(door: Door, cast: Cast, client_of: Any) -> None:
    tool = "/v1/workspaces/sales/mcps/calculator/tools/flood"
    assert client_of(cast.alice).patch(tool, json={"allowed": False}).is_success
    shown = door.ask("tools/list").json()["result"]["tools"]
    assert sorted(tool["name"] for tool in shown) == ["add", "meet", "wipe"]
    client_of(cast.alice).patch("/v1/workspaces/sales/mcps/calculator", json={"enabled": False})
    assert door.ask("tools/list").json()["result"]["tools"] == []


def test_it_speaks_the_protocol(door: Door) -> None:
    begun = door.ask("initialize", {"protocolVersion": "2025-03-26"}).json()["result"]
    assert (begun["protocolVersion"], list(begun["capabilities"])) == ("2025-03-26", ["tools"])
    assert door.ask("initialize", {"protocolVersion": "1999"}).json()["result"]["protocolVersion"] != "1999"
    assert door.ask("notifications/initialized", id=None).status_code == 202
    assert door.ask("ping").json()["result"] == {}
    assert door.ask("resources/list").json()["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("params", "code"),
    [({}, -32602), ({"name": 5}, -32602), ({"name": "add", "arguments": [1]}, -32602)],
)
def test_nonsense_calls_are_refused(door: Door, params: dict[str, Any], code: int) -> None:
    assert door.ask("tools/call", params).json()["error"]["code"] == code


def test_whoever_knows_no_secret_finds_nothing(door: Door) -> None:
    client = door.engine.client
    bare, known = {"Authorization": ""}, {"Authorization": f"Bearer {door.secret}"}
    told = [
        client.request("HEAD", door.path, headers=bare).status_code,
        client.post(door.path, content=b"", headers=bare).status_code,
        client.post(door.path, json={}).status_code,  # the egress' own secret is none of this door's
        client.get(f"/.well-known/oauth-protected-resource{door.path}", headers=bare).status_code,
        client.post(door.path.replace("acme", "globex"), headers=known).status_code,
        client.get(door.path, headers=known).status_code,
    ]
    assert told == [405, 404, 404, 404, 404, 405]


def test_the_secret_is_sealed(door: Door, cast: Cast) -> None:
    with tenant_scope(cast.alice.principal.tenant):
        assert door.secret not in EngineServer.objects.get().sealed_secret


@pytest.mark.parametrize("name", ["a", "x" * 128, "with.dots/and/slashes", "a_mcp_b", "add"])
def test_every_tool_has_a_name_that_fits_and_stays(name: str) -> None:
    told = engine_name(name)
    assert len(told) <= ROOM
    assert "_mcp_" not in told
    assert told == engine_name(name)
    assert (told == name) is (name in {"a", "add"})
