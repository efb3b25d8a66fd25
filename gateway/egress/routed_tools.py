"""The tool calls in an engine's model call: written down before the engine hears of them, held for a person.

An engine's own patience with a tool is a minute, so whoever is asked is asked here, while pings keep its
connection: what it then hears is to be run at once.
"""

import asyncio
from uuid import UUID, uuid4

from gateway.calls.approvals import wait_for_decision
from gateway.calls.tool_news import notify_news
from gateway.calls.tool_runs import (
    RULE_CHANGED,
    Asked,
    Caller,
    Judged,
    OpenedRun,
    Unjudged,
    expire_runs,
    expire_unclaimed,
    judge,
    open_run,
    unjudged,
)
from gateway.egress.turn_lookup import RoutedTurn
from gateway.engines.librechat.registrations import find_tool, registered_servers, split_name
from gateway.models import ToolRun
from gateway.providers.base import JsonObject
from kit.errors import TurnInterrupted
from kit.tenancy import in_tenant
from kit.unbroken import unbroken
from workspaces.mcp_servers.queries import ServerRef, enabled_servers_by_id

MOST_CALLS = 32  # of one answer of the model; what goes beyond is written down by nobody and runs nowhere


async def hold_calls(turn: RoutedTurn, calls: list[JsonObject]) -> list[JsonObject]:
    """The calls as the engine is to hear them, once everybody who is asked for one has answered."""
    questions = await in_tenant(turn.tenant, unjudged_calls, turn=turn, calls=calls)
    judged = {index: await judge(question) for index, question in questions.items()}
    told, runs = await in_tenant(turn.tenant, open_calls, turn=turn, calls=calls, judged=judged)
    waiting = [run.id for run in runs if run.waits_until]
    try:
        await asyncio.gather(*(wait_for_decision(turn.caller, run_id) for run_id in waiting))
    finally:
        if waiting:  # one may have expired, or nobody waits any more: told by nobody else
            await unbroken(in_tenant(turn.tenant, end_waiting, caller=turn.caller, run_ids=waiting))
    return told


def end_waiting(*, caller: Caller, run_ids: list[UUID]) -> None:
    """Whoever is still asked need not answer: the call that waited for it has ended."""
    expire_runs(caller=caller, run_ids=run_ids)
    notify_news(caller.turn_id)


def unjudged_calls(*, turn: RoutedTurn, calls: list[JsonObject]) -> dict[int, Unjudged]:
    """In the tenant's schema: by their places, those that a rule has to judge first."""
    servers = _servers_of(turn)
    by_id = _by_id(servers)
    asked = (_asked(call["id"], call["function"], servers) for call in calls[:MOST_CALLS])
    questions = {index: unjudged(asked=one, servers=by_id) for index, one in enumerate(asked)}
    return {index: question for index, question in questions.items() if question}


def open_calls(
    *, turn: RoutedTurn, calls: list[JsonObject], judged: dict[int, Judged]
) -> tuple[list[JsonObject], list[OpenedRun]]:
    """In the tenant's schema. Ids that the turn has had before are changed, so that each stays one call's."""
    servers = _servers_of(turn)
    by_id = _by_id(servers)
    expire_unclaimed(caller=turn.caller)
    known = set(ToolRun.objects.filter(turn=turn.turn_id).values_list("call_id", flat=True))
    told, runs = [], []
    for index, call in enumerate(calls):
        call_id = call["id"] if call["id"] and call["id"] not in known else f"call_{uuid4().hex[:24]}"
        known.add(call_id)
        told.append({**call, "index": index, "id": call_id})
        if index < MOST_CALLS:
            asked = _asked(call_id, call["function"], servers)
            runs.append(_opened(turn.caller, asked, by_id, judged.get(index)))
    if any(run.waits_until for run in runs):
        notify_news(turn.turn_id)
    return told, runs


def _opened(caller: Caller, asked: Asked, servers: dict[UUID, ServerRef], judged: Judged | None) -> OpenedRun:
    opened = open_run(caller=caller, asked=asked, servers=servers, judged=judged)
    if isinstance(opened, Unjudged):  # the rule came or changed since: the model may ask again
        refused = Judged(opened.rule, RULE_CHANGED)
        opened = open_run(caller=caller, asked=asked, servers=servers, judged=refused)
    if isinstance(opened, Unjudged):
        raise TurnInterrupted(RULE_CHANGED)
    return opened


def _servers_of(turn: RoutedTurn) -> dict[str, ServerRef]:
    """The MCP servers that the turn was asked with, by what the engine calls them."""
    if not turn.server_ids or turn.engine_account_id is None:
        return {}
    named = enabled_servers_by_id(workspace_id=turn.caller.workspace_id, ids=turn.server_ids)
    account_id, user_id = turn.engine_account_id, turn.caller.user_id
    return registered_servers(engine_account_id=account_id, user_id=user_id, servers=named)


def _by_id(servers: dict[str, ServerRef]) -> dict[UUID, ServerRef]:
    return {server.id: server for server in servers.values()}


def _asked(call_id: str, function: JsonObject, servers: dict[str, ServerRef]) -> Asked:
    tool, server_name = split_name(function["name"])
    server = servers.get(server_name)
    found = find_tool(server, tool) if server else None
    if server is None or found is None:
        return Asked(call_id=call_id, server="", tool=function["name"], arguments=function["arguments"])
    return Asked(
        call_id=call_id,
        server=server.slug,
        tool=found.name,
        arguments=function["arguments"],
        server_id=server.id,
    )
