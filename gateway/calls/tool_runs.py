"""Runs the tools that models request, for every engine; rights and restrictions are checked at each call."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from accounts.audit import services as audit
from accounts.principals import may_chat
from gateway.calls.tool_arguments import RuleCheck, RuleResult, check_rule, hash_of, parsed_arguments
from gateway.calls.tool_run_states import create_run, deny_run, expire_run, finish_run
from gateway.models import ToolRun, Turn
from kit.database_retry import patiently
from kit.errors import DomainError
from kit.secrets import SecretUnreadable
from kit.tenancy import TenantRef, in_tenant
from kit.unbroken import unbroken
from workspaces.mcp_servers.client import ToolOutcome, call_tool
from workspaces.mcp_servers.connection import reach
from workspaces.mcp_servers.queries import ServerRef, ToolRef, enabled_server, enabled_servers_by_id

log = structlog.get_logger(__name__)
State = ToolRun.State
NO_OBJECT = "The arguments are not a JSON object. Call the tool again with arguments that fit its schema."
REFUSED = "The user refused this call. Do not repeat it. Ask what they want instead."
STOPPED = "The reply was stopped before this call."
NO_CHAT = "Your access to this workspace has ended."
FORBIDDEN = "This tool is no longer allowed."
TOO_LATE = "The model continued before this call."
UNANSWERED = "No one allowed this call in time. Continue without it."
RULE_CHANGED = "The workspace's rule for this tool has just changed. Call it again."
RENEWAL_SECONDS = 5.0  # for a new access token, on top of the call: an engine may wait only a minute


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom and in which turn a tool is called."""

    tenant: TenantRef
    workspace_id: UUID
    user_id: UUID
    turn_id: UUID


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A call as the model made it; the server's slug is empty for a tool that was never offered."""

    call_id: str
    server: str
    tool: str
    arguments: str  # JSON, as the model wrote it
    server_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A stored tool run. `refusal` is the text for the model if it does not run; `waits_until` is set while a
    person has to allow it."""

    id: UUID
    server_id: UUID | None = None
    server: str = ""
    tool: str = ""
    definition_hash: str = ""
    arguments: dict[str, Any] | None = None
    refusal: str = ""
    waits_until: str = ""
    checked: RuleResult | None = None


async def open_checked_run(*, caller: Caller, request: ToolRequest) -> OpenedRun:
    """Opens the run, checking the arguments against the rule as it is at this moment."""
    checked: RuleResult | None = None
    while True:  # again for each change of the rule meanwhile
        opened = await patiently(
            in_tenant, caller.tenant, _open_alone, caller=caller, request=request, checked=checked
        )
        if isinstance(opened, OpenedRun):
            return opened
        checked = await check_rule(opened)


def _open_alone(*, caller: Caller, request: ToolRequest, checked: RuleResult | None) -> OpenedRun | RuleCheck:
    ids = [request.server_id] if request.server_id else []
    found = enabled_servers_by_id(workspace_id=caller.workspace_id, ids=ids) if ids else []
    servers = {server.id: server for server in found}
    return open_run(caller=caller, request=request, servers=servers, checked=checked)


def needed_check(*, request: ToolRequest, servers: Mapping[UUID, ServerRef]) -> RuleCheck | None:
    """The check that `open_run` would ask for, given the same servers; None if there is no rule."""
    found, arguments = _find(request, servers), parsed_arguments(request.arguments)
    if found is None or not found[1].argument_schema or arguments is None:
        return None
    return RuleCheck(found[1].argument_schema, arguments)


def open_run(
    *,
    caller: Caller,
    request: ToolRequest,
    servers: Mapping[UUID, ServerRef],
    checked: RuleResult | None = None,
) -> OpenedRun | RuleCheck:
    """Stores the call and whether it may run; in the tenant's schema.

    `servers` are the enabled ones that the call may name, by id, as they are now. Stores nothing and
    returns a RuleCheck if the tool has a rule other than the one in `checked`.
    """
    found = _find(request, servers)
    arguments = parsed_arguments(request.arguments)
    rule = found[1].argument_schema if found else None
    if rule and arguments is not None and (checked is None or checked.rule != rule):
        return RuleCheck(rule, arguments)
    refusal = _refusal(request, found, arguments) or (checked.refusal if checked and rule else "")
    run = create_run(
        turn_id=caller.turn_id,
        call_id=request.call_id[:200],
        server=request.server[:60],
        server_id=found[0] if found else None,
        tool=request.tool[:128],
        arguments=arguments if arguments is not None else {},
        arguments_hash=hash_of(arguments),
        refusal=refusal,
        needs_approval=found is not None and found[1].needs_approval,
    )
    if refusal or found is None:
        audit_run(caller, run.target, outcome=State.DENIED)
        return OpenedRun(id=run.id, refusal=refusal)
    return OpenedRun(
        id=run.id,
        server_id=found[0],
        server=run.server,
        tool=found[1].name,
        definition_hash=found[1].definition_hash,
        arguments=arguments,
        waits_until=run.expires_at.isoformat() if run.expires_at else "",
        checked=checked,
    )


def _find(request: ToolRequest, servers: Mapping[UUID, ServerRef]) -> tuple[UUID, ToolRef] | None:
    server = servers.get(request.server_id) if request.server_id else None
    tool = server.tool(request.tool) if server else None
    return (server.id, tool) if server and tool else None


def _refusal(
    request: ToolRequest, found: tuple[UUID, ToolRef] | None, arguments: dict[str, Any] | None
) -> str:
    if found is None:
        return f"No tool is called {request.tool!r}."
    return NO_OBJECT if arguments is None else ""


async def execute_run(caller: Caller, run: OpenedRun) -> ToolOutcome:
    """Calls the tool; a failure becomes a text for the model. The call is audited, however it ends."""
    if run.refusal or run.server_id is None:
        return ToolOutcome(output=run.refusal, is_error=True)
    if refusal := await _late_refusal(caller, run):
        return ToolOutcome(output=refusal, is_error=True)
    begun = time.monotonic()
    outcome = ToolOutcome(output="The call was cancelled.", is_error=True)
    try:
        call = partial(
            call_tool, name=run.tool, arguments=run.arguments or {}, expected_hash=run.definition_hash
        )
        async with asyncio.timeout(settings.MCP_CALL_SECONDS + RENEWAL_SECONDS):
            outcome = await reach(
                tenant=caller.tenant, server_id=run.server_id, user_id=caller.user_id, work=call
            )
    except TimeoutError:
        outcome = ToolOutcome(output="The MCP server did not respond in time.", is_error=True)
    except SecretUnreadable:
        log.exception("a server's key cannot be read", turn_id=str(caller.turn_id))
        outcome = ToolOutcome(output="The MCP server's key cannot be read.", is_error=True)
    except DomainError as problem:
        outcome = ToolOutcome(output=problem.text, is_error=True)
    finally:
        spent = int((time.monotonic() - begun) * 1000)
        closing = patiently(
            in_tenant,
            caller.tenant,
            close_run,
            caller=caller,
            run=run,
            is_error=outcome.is_error,
            spent_ms=spent,
        )
        await unbroken(closing)
    return outcome


async def _late_refusal(caller: Caller, run: OpenedRun) -> str:
    checked = run.checked
    while True:
        answer = await patiently(
            in_tenant, caller.tenant, confirm_run, caller=caller, run=run, checked=checked
        )
        if isinstance(answer, str):
            return answer
        checked = await check_rule(answer)


def confirm_run(*, caller: Caller, run: OpenedRun, checked: RuleResult | None) -> str | RuleCheck:
    """Why the call must not run after all; empty if it may.

    A person may take minutes to allow a call: by then a member may have left, a tool been denied, or a
    restriction been added.
    """
    refusal = _current_refusal(caller, run, checked)
    if isinstance(refusal, str) and refusal:
        deny_run(run.id, refusal)
        audit_run(caller, f"{run.server}/{run.tool}", outcome=State.DENIED)
    return refusal


def _current_refusal(caller: Caller, run: OpenedRun, checked: RuleResult | None) -> str | RuleCheck:
    running = Turn.objects.running().not_stopping().filter(id=caller.turn_id)
    if not running.exists():
        return STOPPED
    if not may_chat(caller.user_id, caller.workspace_id):
        return NO_CHAT
    server = enabled_server(run.server_id) if run.server_id else None
    tool = server.tool(run.tool) if server else None
    if tool is None or tool.definition_hash != run.definition_hash:
        return FORBIDDEN
    if not tool.argument_schema:
        return ""
    if checked is None or checked.rule != tool.argument_schema:
        return RuleCheck(tool.argument_schema, run.arguments or {})
    return checked.refusal


def expire_runs(*, caller: Caller, run_ids: Iterable[UUID], only_overdue: bool = False) -> None:
    """Expires those of the runs that still wait for a person, and audits each."""
    waiting = ToolRun.objects.waiting().filter(id__in=list(run_ids))
    for run in waiting.overdue() if only_overdue else waiting:
        if expire_run(run):
            audit_run(caller, run.target, outcome=State.EXPIRED)


def expire_unclaimed(*, caller: Caller) -> None:
    """Expires what the engine has not claimed: once it calls the model again, it has all its results."""
    for run in ToolRun.objects.unclaimed().filter(turn=caller.turn_id):
        if expire_run(run, refusal=TOO_LATE):
            audit_run(caller, run.target, outcome=State.EXPIRED)


@transaction.atomic
def close_run(*, caller: Caller, run: OpenedRun, is_error: bool, spent_ms: int) -> None:
    """Stores the outcome and audits it, even if the conversation was deleted meanwhile."""
    state = finish_run(run.id, is_error=is_error, duration_ms=spent_ms)
    audit_run(caller, f"{run.server}/{run.tool}", outcome=state, duration_ms=spent_ms)


def audit_run(caller: Caller, target: str, *, outcome: State, duration_ms: int = 0) -> None:
    """Records who called which tool, how long it took and how it ended; no arguments and no result."""
    audit.record(
        "tool.called",
        actor_id=caller.user_id,
        tenant_id=caller.tenant.id,
        workspace_id=caller.workspace_id,
        target=target,
        turn_id=str(caller.turn_id),
        outcome=outcome.value,
        duration_ms=duration_ms,
    )
