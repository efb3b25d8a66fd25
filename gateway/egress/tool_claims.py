"""Matches an engine's tool call to the call that the model made: nothing else is run for an engine."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import Tenant
from gateway.calls import tool_run_states
from gateway.calls.tool_arguments import hash_of
from gateway.calls.tool_runs import REFUSED, UNANSWERED, Caller, OpenedRun
from gateway.engines.librechat.registrations import find_caller, find_tool
from gateway.models import ToolRun, Turn
from kit.tenancy import TenantRef
from workspaces.mcp_servers.queries import ServerRef, ToolRef, enabled_server

State = ToolRun.State
NO_CALL = "No running reply asked for this call, or it was already made."
REFUSALS = {State.REFUSED: REFUSED, State.EXPIRED: UNANSWERED}


@dataclass(frozen=True, slots=True)
class EngineCaller:
    """For whom an engine account calls, and the server at this URL; None if it was disabled."""

    tenant: TenantRef
    engine_account_id: UUID
    user_id: UUID
    server: ServerRef | None

    @property
    def tools(self) -> tuple[ToolRef, ...]:
        return self.server.tools if self.server else ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A call that the engine has claimed; with a `run.refusal` it gets that text instead of a result."""

    caller: Caller
    run: OpenedRun


def tenant_named(slug: str) -> TenantRef | None:
    tenant = Tenant.objects.active().filter(slug=slug).first()
    return tenant.ref if tenant else None


def engine_caller(tenant: TenantRef, registration_id: UUID, secret: str) -> EngineCaller | None:
    """In the tenant's schema. None if the secret is wrong."""
    row = find_caller(registration_id, secret)
    if row is None:
        return None
    return EngineCaller(tenant, row.engine_account_id, row.user_id, enabled_server(row.server_id))


def claim_run(*, caller: EngineCaller, tool: str, arguments: dict[str, Any]) -> Claim | None:
    """Claims, once, a running turn's call with exactly this tool and these arguments; None if there is none.

    Of several the latest, since an older one may still be held back from its engine. The tool gets the
    arguments that the model wrote and a person allowed, not those that the engine sends.
    """
    found = find_tool(caller.server, tool) if caller.server else None
    if caller.server is None or found is None:
        return None
    matching = ToolRun.objects.filter(
        turn__conversation__engine_account_id=caller.engine_account_id,
        turn__user_id=caller.user_id,
        turn__status=Turn.Status.RUNNING,
        turn__stop_requested_at=None,
        server_id=caller.server.id,
        tool=found.name,
        arguments_hash=hash_of(arguments),
    ).select_related("turn")
    for run in matching.unclaimed().order_by("-created_at")[:10]:
        if tool_run_states.claim_run(run):
            return Claim(_caller(caller, run), _opened(run, found))
    refused = matching.never_run().order_by("-created_at").first()
    if refused is None:
        return None
    refusal = refused.refusal or REFUSALS[State(refused.state)]
    return Claim(_caller(caller, refused), OpenedRun(id=refused.id, refusal=refusal))


def _caller(caller: EngineCaller, run: ToolRun) -> Caller:
    return Caller(caller.tenant, run.turn.workspace_id, run.turn.user_id, run.turn_id)


def _opened(run: ToolRun, tool: ToolRef) -> OpenedRun:
    return OpenedRun(
        id=run.id,
        server_id=run.server_id,
        server=run.server,
        tool=tool.name,
        definition_hash=tool.definition_hash,
        arguments=run.arguments,
    )


def readable_arguments(params: dict[str, Any]) -> dict[str, Any] | None:
    """None if the arguments are not an object that can be hashed."""
    arguments = params.get("arguments") or {}
    try:
        json.dumps(arguments, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None
