"""The tool calls in an engine's model call: stored before the engine sees them, held back for approval.

An engine waits only a minute for a tool. So a person is asked here, while pings keep the engine's connection
open; the calls that the engine then receives can run immediately.
"""

import asyncio
from uuid import UUID, uuid4

from gateway.calls.approvals import wait_for_decision
from gateway.calls.tool_arguments import RuleCheck, RuleResult, check_rule
from gateway.calls.tool_news import notify_news
from gateway.calls.tool_runs import (
    RULE_CHANGED,
    Caller,
    OpenedRun,
    ToolRequest,
    expire_runs,
    expire_unclaimed,
    needed_check,
    open_run,
)
from gateway.egress.turn_lookup import RoutedTurn
from gateway.engines.librechat.registrations import find_tool, registered_servers, split_name
from gateway.models import ToolRun
from gateway.providers.base import JsonObject
from kit.errors import TurnInterrupted
from kit.tenancy import in_tenant
from kit.unbroken import unbroken
from workspaces.mcp_servers.queries import ServerRef, enabled_servers_by_id

MOST_CALLS = 32  # of one reply of the model; calls beyond it are neither stored nor run


async def hold_calls(turn: RoutedTurn, calls: list[JsonObject]) -> list[JsonObject]:
    """The calls as they are sent to the engine, once a person has answered each that needs approval."""
    checks = await in_tenant(turn.tenant, needed_checks, turn=turn, calls=calls)
    checked = {index: await check_rule(check) for index, check in checks.items()}
    renamed, runs = await in_tenant(turn.tenant, open_calls, turn=turn, calls=calls, checked=checked)
    waiting = [run.id for run in runs if run.waits_until]
    try:
        await asyncio.gather(*(wait_for_decision(turn.caller, run_id) for run_id in waiting))
    finally:
        if waiting:  # an expiry, or the end of a cancelled call, is announced only here
            await unbroken(in_tenant(turn.tenant, end_waiting, caller=turn.caller, run_ids=waiting))
    return renamed


def end_waiting(*, caller: Caller, run_ids: list[UUID]) -> None:
    """Expires pending approvals of an ended call."""
    expire_runs(caller=caller, run_ids=run_ids)
    notify_news(caller.turn_id)


def needed_checks(*, turn: RoutedTurn, calls: list[JsonObject]) -> dict[int, RuleCheck]:
    """In the tenant's schema: the rule checks that the calls need first, by the call's index."""
    servers = _servers_of(turn)
    by_id = _by_id(servers)
    requests = (_request(call["id"], call.get("function", {}), servers) for call in calls[:MOST_CALLS])
    checks = {index: needed_check(request=one, servers=by_id) for index, one in enumerate(requests)}
    return {index: check for index, check in checks.items() if check}


def open_calls(
    *, turn: RoutedTurn, calls: list[JsonObject], checked: dict[int, RuleResult]
) -> tuple[list[JsonObject], list[OpenedRun]]:
    """In the tenant's schema. An id that the turn has used before is replaced, so that ids stay unique."""
    servers = _servers_of(turn)
    by_id = _by_id(servers)
    expire_unclaimed(caller=turn.caller)
    known = set(ToolRun.objects.filter(turn=turn.turn_id).values_list("call_id", flat=True))
    renamed, runs = [], []
    for index, call in enumerate(calls):
        call_id = call["id"] if call["id"] and call["id"] not in known else f"call_{uuid4().hex[:24]}"
        known.add(call_id)
        renamed.append({**call, "index": index, "id": call_id})
        if index < MOST_CALLS:
            request = _request(call_id, call.get("function", {}), servers)
            runs.append(_opened(turn.caller, request, by_id, checked.get(index)))
    if any(run.waits_until for run in runs):
        notify_news(turn.turn_id)
    return renamed, runs


def _opened(
    caller: Caller, request: ToolRequest, servers: dict[UUID, ServerRef], checked: RuleResult | None
) -> OpenedRun:
    opened = open_run(caller=caller, request=request, servers=servers, checked=checked)
    if isinstance(opened, RuleCheck):  # the rule was added or changed since: the model may call again
        refused = RuleResult(opened.rule, RULE_CHANGED)
        opened = open_run(caller=caller, request=request, servers=servers, checked=refused)
    if isinstance(opened, RuleCheck):
        raise TurnInterrupted(RULE_CHANGED)
    return opened


def _servers_of(turn: RoutedTurn) -> dict[str, ServerRef]:
    """The MCP servers that the turn may use, by the engine's name for them."""
    if not turn.server_ids or turn.engine_account_id is None:
        return {}
    named = enabled_servers_by_id(workspace_id=turn.caller.workspace_id, ids=turn.server_ids)
    account_id, user_id = turn.engine_account_id, turn.caller.user_id
    return registered_servers(engine_account_id=account_id, user_id=user_id, servers=named)


def _by_id(servers: dict[str, ServerRef]) -> dict[UUID, ServerRef]:
    return {server.id: server for server in servers.values()}


def _request(call_id: str, function: JsonObject, servers: dict[str, ServerRef]) -> ToolRequest:
    name, arguments = function.get("name", ""), function.get("arguments", "")
    tool, server_name = split_name(name)
    server = servers.get(server_name)
    found = find_tool(server, tool) if server else None
    if server is None or found is None:
        return ToolRequest(call_id=call_id, server="", tool=name, arguments=arguments)
    return ToolRequest(
        call_id=call_id,
        server=server.slug,
        tool=found.name,
        arguments=arguments,
        server_id=server.id,
    )
