"""An engine's tool call finds the one that the model made: nothing else is ever run for an engine."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import Tenant
from gateway.calls.tool_runs import REFUSED, UNANSWERED, UNCLAIMED, Caller, OpenedRun, hash_of
from gateway.engines.librechat.registrations import find_caller, find_tool
from gateway.models import ToolRun, Turn
from kit.tenancy import TenantRef
from workspaces.mcp_servers.queries import ServerRef, ToolRef, enabled_server

State = ToolRun.State
NO_CALL = "No running reply asked for this call, or it was already made."
WORDS = {State.REFUSED: REFUSED, State.EXPIRED: UNANSWERED}
ANSWERED = (State.REFUSED, State.EXPIRED, State.DENIED)


@dataclass(frozen=True, slots=True)
class EngineCaller:
    """For whom an engine account calls, and the server at this address; None where it was disabled."""

    tenant: TenantRef
    engine_account_id: UUID
    user_id: UUID
    server: ServerRef | None

    @property
    def tools(self) -> tuple[ToolRef, ...]:
        return self.server.tools if self.server else ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A call that is the engine's to have run; `run.refusal` where it gets words in its place."""

    caller: Caller
    run: OpenedRun


def tenant_named(slug: str) -> TenantRef | None:
    tenant = Tenant.objects.filter(slug=slug, suspended_at=None).first()
    return tenant.ref if tenant else None


def engine_caller(tenant: TenantRef, registration_id: UUID, secret: str) -> EngineCaller | None:
    """In the tenant's schema. None for whoever does not know the secret."""
    row = find_caller(registration_id, secret)
    if row is None:
        return None
    return EngineCaller(tenant, row.engine_account_id, row.user_id, enabled_server(row.server_id))


def claim_run(*, caller: EngineCaller, tool: str, arguments: dict[str, Any]) -> Claim | None:
    """Takes up the call of a running turn that has the very same tool and arguments, each once; else None.

    Of several the latest, since an older one may still be kept from its engine. What runs are the arguments
    that the model asked with and a person allowed, not what the engine sends.
    """
    found = find_tool(caller.server, tool) if caller.server else None
    if caller.server is None or found is None:
        return None
    asked = ToolRun.objects.filter(
        turn__conversation__engine_account_id=caller.engine_account_id,
        turn__user_id=caller.user_id,
        turn__status=Turn.Status.RUNNING,
        turn__stop_requested_at=None,
        server_id=caller.server.id,
        tool=found.name,
        arguments_hash=hash_of(arguments),
    ).select_related("turn")
    for run in asked.filter(state__in=UNCLAIMED).order_by("-created_at")[:10]:
        if ToolRun.objects.filter(id=run.id, state=run.state).update(state=State.RUNNING):
            return Claim(_caller(caller, run), _opened(run, found))
    answered = asked.filter(state__in=ANSWERED).order_by("-created_at").first()
    if answered is None:
        return None
    words = answered.refusal or WORDS[State(answered.state)]
    return Claim(_caller(caller, answered), OpenedRun(id=answered.id, refusal=words))


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
    """None for arguments that are no object that can be compared."""
    arguments = params.get("arguments") or {}
    try:
        json.dumps(arguments, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None
