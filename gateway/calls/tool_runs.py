"""Runs the tools that models ask for, for every engine; rights and restrictions are asked at each call."""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.audit import services as audit
from accounts.principals import may_chat
from gateway.models import ToolRun, Turn
from kit.errors import DomainError
from kit.json_input import is_shallow, is_storable
from kit.patience import patiently
from kit.secrets import SecretUnreadable
from kit.tenancy import TenantRef, in_tenant
from kit.unbroken import unbroken
from workspaces.mcp_servers.argument_rules import unfit_arguments
from workspaces.mcp_servers.client import ToolOutcome, call_tool
from workspaces.mcp_servers.connection import reach
from workspaces.mcp_servers.queries import ServerRef, ToolRef, enabled_server, enabled_servers

log = structlog.get_logger(__name__)
State = ToolRun.State
UNCLAIMED = (State.ASKED, State.ALLOWED)
NO_OBJECT = "The arguments are not a JSON object. Call the tool again with arguments that fit its schema."
REFUSED = "The user refused this call. Do not repeat it. Ask what they want instead."
STOPPED = "The reply was stopped before this call."
NO_CHAT = "Your access to this workspace has ended."
FORBIDDEN = "This tool is no longer allowed."
TOO_LATE = "The model continued before this call."
UNANSWERED = "No one allowed this call in time. Continue without it."
RULE_CHANGED = "The workspace's rule for this tool has just changed. Call it again."
RENEWAL_SECONDS = 5.0  # beside the call itself: an engine's own patience with a tool may be a minute
LONGEST_ARGUMENTS = 200_000  # characters of JSON
LARGEST_FLOAT = 10**300  # beyond it JavaScript knows infinity only
_JUDGES = ThreadPoolExecutor(max_workers=2, thread_name_prefix="rules")


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a tool is called, in which turn."""

    tenant: TenantRef
    workspace_id: UUID
    user_id: UUID
    turn_id: UUID


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as the model made it; the server's slug is empty for a tool that was never offered."""

    call_id: str
    server: str
    tool: str
    arguments: str  # JSON, as it was written


@dataclass(frozen=True, slots=True)
class Judged:
    """What a rule says of a call's arguments; `refusal` tells the model why not, empty where they fit."""

    rule: dict[str, Any]
    refusal: str


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A rule that the arguments have to be judged by first: nothing was written down."""

    rule: dict[str, Any]
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A call that was written down. `refusal` tells the model why it does not run; `waits_until` is set where
    a person is asked first."""

    id: UUID
    server_id: UUID | None = None
    server: str = ""
    tool: str = ""
    definition_hash: str = ""
    arguments: dict[str, Any] | None = None
    refusal: str = ""
    waits_until: str = ""
    judged: Judged | None = None


async def open_judged(*, caller: Caller, asked: Asked) -> OpenedRun:
    """Asks, at the moment of the call, whether it may run."""
    judged: Judged | None = None
    while True:  # once more for each change of the rule meanwhile
        opened = await patiently(
            in_tenant, caller.tenant, _open_alone, caller=caller, asked=asked, judged=judged
        )
        if isinstance(opened, OpenedRun):
            return opened
        judged = await judge(opened)


async def judge(question: Unjudged) -> Judged:
    """By the rule, in threads of its own: none that reaches the database waits for it."""
    loop = asyncio.get_running_loop()
    unfit = await loop.run_in_executor(_JUDGES, unfit_arguments, question.rule, question.arguments)
    words = f"This workspace does not allow these arguments: {unfit}" if unfit else ""
    return Judged(question.rule, words)


def _open_alone(*, caller: Caller, asked: Asked, judged: Judged | None) -> OpenedRun | Unjudged:
    named = [asked.server] if asked.server else []
    found = enabled_servers(workspace_id=caller.workspace_id, slugs=named) if named else []
    servers = {server.slug: server for server in found}
    return open_run(caller=caller, asked=asked, servers=servers, judged=judged)


def unjudged(*, asked: Asked, servers: Mapping[str, ServerRef]) -> Unjudged | None:
    """What `open_run` would want to have judged, with the same servers."""
    found, arguments = _find(asked, servers), parsed_arguments(asked.arguments)
    if found is None or not found[1].argument_schema or arguments is None:
        return None
    return Unjudged(found[1].argument_schema, arguments)


def open_run(
    *, caller: Caller, asked: Asked, servers: Mapping[str, ServerRef], judged: Judged | None = None
) -> OpenedRun | Unjudged:
    """Writes the call down, and whether it may run; in the tenant's schema.

    `servers` are the enabled ones that the call may name, by their slugs, as they are now.
    """
    found = _find(asked, servers)
    arguments = parsed_arguments(asked.arguments)
    rule = found[1].argument_schema if found else None
    if rule and arguments is not None and (judged is None or judged.rule != rule):
        return Unjudged(rule, arguments)
    refusal = _refusal(asked, found, arguments) or (judged.refusal if judged and rule else "")
    needs_approval = not refusal and found is not None and found[1].needs_approval
    run = ToolRun.objects.create(
        turn_id=caller.turn_id,
        call_id=asked.call_id[:200],
        server=asked.server[:60],
        server_id=found[0] if found else None,
        tool=asked.tool[:128],
        arguments=arguments if arguments is not None else {},
        arguments_hash=hash_of(arguments),
        state=State.DENIED if refusal else State.WAITING if needs_approval else State.ASKED,
        expires_at=timezone.now() + timedelta(seconds=settings.APPROVAL_SECONDS) if needs_approval else None,
        refusal=refusal,
    )
    if refusal or found is None:
        audit_call(caller, target_of(run), outcome=State.DENIED)
        return OpenedRun(id=run.id, refusal=refusal)
    return OpenedRun(
        id=run.id,
        server_id=found[0],
        server=run.server,
        tool=found[1].name,
        definition_hash=found[1].definition_hash,
        arguments=arguments,
        waits_until=run.expires_at.isoformat() if run.expires_at else "",
        judged=judged,
    )


def _find(asked: Asked, servers: Mapping[str, ServerRef]) -> tuple[UUID, ToolRef] | None:
    server = servers.get(asked.server)
    tool = server.tool(asked.tool) if server else None
    return (server.id, tool) if server and tool else None


def _refusal(asked: Asked, found: tuple[UUID, ToolRef] | None, arguments: dict[str, Any] | None) -> str:
    if found is None:
        return f"No tool is called {asked.tool!r}."
    return NO_OBJECT if arguments is None else ""


def parsed_arguments(text: str) -> dict[str, Any] | None:
    """None for what is no JSON object that can be kept."""
    if len(text) > LONGEST_ARGUMENTS:
        return None
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and is_shallow(value) and is_storable(value) else None


def hash_of(arguments: dict[str, Any] | None) -> str:
    """The same for the same arguments, in whatever order they were written, and as JavaScript reads numbers.

    An engine in JavaScript has no integers: 2.0 comes back as 2, and beyond 2**53 digits are lost.
    """
    return hashlib.sha256(json.dumps(_as_javascript(arguments), sort_keys=True).encode()).hexdigest()


def _as_javascript(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_javascript(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_javascript(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < LARGEST_FLOAT else str(value)
    return value


async def execute_run(caller: Caller, run: OpenedRun) -> ToolOutcome:
    """Calls the tool; what goes wrong becomes words for the model. The call is audited, however it ends."""
    if run.refusal or run.server_id is None:
        return ToolOutcome(output=run.refusal, is_error=True)
    if refusal := await _refused_at_last(caller, run):
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


async def _refused_at_last(caller: Caller, run: OpenedRun) -> str:
    judged = run.judged
    while True:
        answer = await patiently(in_tenant, caller.tenant, confirm_run, caller=caller, run=run, judged=judged)
        if isinstance(answer, str):
            return answer
        judged = await judge(answer)


def confirm_run(*, caller: Caller, run: OpenedRun, judged: Judged | None) -> str | Unjudged:
    """Why it must not run after all; empty where it may. A person may take minutes to allow a call, and a
    member may have left, a tool been denied, a restriction come meanwhile."""
    refusal = _refused_now(caller, run, judged)
    if isinstance(refusal, str) and refusal:
        ToolRun.objects.filter(id=run.id).update(state=State.DENIED, refusal=refusal)
        audit_call(caller, f"{run.server}/{run.tool}", outcome=State.DENIED)
    return refusal


def _refused_now(caller: Caller, run: OpenedRun, judged: Judged | None) -> str | Unjudged:
    going = Turn.objects.filter(id=caller.turn_id, status=Turn.Status.RUNNING, stop_requested_at=None)
    if not going.exists():
        return STOPPED
    if not may_chat(caller.user_id, caller.workspace_id):
        return NO_CHAT
    server = enabled_server(run.server_id) if run.server_id else None
    tool = server.tool(run.tool) if server else None
    if tool is None or tool.definition_hash != run.definition_hash:
        return FORBIDDEN
    if not tool.argument_schema:
        return ""
    if judged is None or judged.rule != tool.argument_schema:
        return Unjudged(tool.argument_schema, run.arguments or {})
    return judged.refusal


def expire_runs(*, caller: Caller, run_ids: Iterable[UUID], only_overdue: bool = False) -> None:
    """Those of them that still wait for a person wait no longer; each is audited."""
    waiting = ToolRun.objects.filter(id__in=list(run_ids), state=State.WAITING)
    for run in waiting.filter(expires_at__lte=timezone.now()) if only_overdue else waiting:
        if ToolRun.objects.filter(id=run.id, state=State.WAITING).update(state=State.EXPIRED):
            audit_call(caller, target_of(run), outcome=State.EXPIRED)


def expire_unclaimed(*, caller: Caller) -> None:
    """A model that is asked again has its answers: what its engine did not take up by now, it never will."""
    for run in ToolRun.objects.filter(turn=caller.turn_id, state__in=UNCLAIMED):
        expired = {"state": State.EXPIRED, "refusal": TOO_LATE}
        if ToolRun.objects.filter(id=run.id, state=run.state).update(**expired):
            audit_call(caller, target_of(run), outcome=State.EXPIRED)


@transaction.atomic
def close_run(*, caller: Caller, run: OpenedRun, is_error: bool, spent_ms: int) -> None:
    """Writes down how the call went, and audits it, also where its conversation was deleted meanwhile."""
    state = State.FAILED if is_error else State.DONE
    ToolRun.objects.filter(id=run.id).update(state=state, duration_ms=spent_ms)
    audit_call(caller, f"{run.server}/{run.tool}", outcome=state, duration_ms=spent_ms)


def target_of(run: ToolRun) -> str:
    return f"{run.server}/{run.tool}"


def audit_call(caller: Caller, target: str, *, outcome: State, duration_ms: int = 0) -> None:
    """Who, what, how long, and how it ended; neither its arguments nor its result."""
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
