"""The turn that an engine's model call belongs to, found by the ids in its headers."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError
from django.db.models import F, Func, JSONField, Value

from accounts.engine_accounts import find_account
from accounts.models import Tenant
from gateway.calls.call_images import UserMessage, questions_of
from gateway.calls.own_branch import Branch, branch_of
from gateway.calls.rights import models_now
from gateway.calls.tool_runs import Caller
from gateway.errors import ModelNotAllowed, ModelNotEnabled
from gateway.models import Turn
from gateway.providers.base import JsonObject
from kit.errors import DomainError, NotFound, TurnInterrupted
from kit.tenancy import TenantRef, in_public, in_tenant
from quotas.models import Reservation
from workspaces.language_models.queries import ModelRef

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallerIds:
    """The ids in an engine's headers, which may be forged until they are found to match."""

    turn_id: UUID
    conversation_id: UUID
    engine_user_id: str

    @classmethod
    def from_headers(cls, header: dict[str, str]) -> "CallerIds":
        """NotFound if they are not ids, as in calls that belong to no turn."""
        try:
            return cls(
                turn_id=UUID(header.get("x-message", "")),
                conversation_id=UUID(header.get("x-conversation", "")),
                engine_user_id=header.get("x-engine-user", ""),
            )
        except ValueError as exc:
            raise NotFound from exc


@dataclass(frozen=True, slots=True)
class RoutedTurn:
    """A running turn whose engine may call its models: the requested one and its fallbacks."""

    turn_id: UUID
    caller: Caller
    models: tuple[ModelRef, ...]
    engine_account_id: UUID | None = None
    conversation_id: UUID | None = None
    questions: tuple[UserMessage, ...] = ()  # the user messages, the latest first, if any has images
    server_ids: tuple[str, ...] = ()  # of the MCP servers that it may use
    branch: Branch = field(default_factory=Branch)  # our own copy of the messages before it
    replayed: tuple[JsonObject, ...] = ()  # fields that its model wants back with its tool calls

    @property
    def tenant(self) -> TenantRef:
        return self.caller.tenant


async def find_turn(ids: CallerIds) -> RoutedTurn:
    """NotFound for a turn that is not the caller's, TurnInterrupted for one that has ended, ModelNotEnabled.

    Another account's turn is indistinguishable from one that does not exist.
    """
    tenant = await in_public(_tenant_of, ids.turn_id)
    return await in_tenant(tenant, _routed_turn, tenant, ids)


def _tenant_of(turn_id: UUID) -> TenantRef:
    """From the turn's reservation, which has the same id in the public schema."""
    tenant_id = Reservation.objects.filter(id=turn_id).values_list("tenant_id", flat=True).first()
    tenant = Tenant.objects.active().filter(id=tenant_id).first() if tenant_id else None
    if tenant is None:
        raise NotFound
    ref: TenantRef = tenant.ref
    return ref


def _routed_turn(tenant: TenantRef, ids: CallerIds) -> RoutedTurn:
    turn = Turn.objects.select_related("conversation").filter(id=ids.turn_id).first()
    if turn is None or not _fits(turn, ids):
        raise NotFound
    if not turn.is_running or turn.is_stopping:
        raise TurnInterrupted("The turn has ended.")
    try:
        models = models_now(
            user_id=turn.user_id, workspace_id=turn.workspace_id, model=turn.model, model_id=turn.model_id
        )
    except (ModelNotEnabled, ModelNotAllowed) as error:
        _note_end(turn.id, {"error": error.as_dict()})
        raise
    return RoutedTurn(
        turn_id=turn.id,
        caller=Caller(tenant, turn.workspace_id, turn.user_id, turn.id),
        models=models,
        engine_account_id=turn.conversation.engine_account_id if turn.conversation else None,
        conversation_id=turn.conversation_id,
        questions=questions_of(conversation_id=ids.conversation_id),
        server_ids=tuple(turn.parameters.get("mcp_ids") or ()),
        branch=branch_of(turn),
        replayed=tuple(turn.replayed),
    )


def _fits(turn: Turn, ids: CallerIds) -> bool:
    """Whether the conversation is the turn's, and the engine account the conversation's."""
    conversation = turn.conversation
    if conversation is None or conversation.id != ids.conversation_id or not conversation.engine_account_id:
        return False
    account = find_account(conversation.engine_account_id)
    return account is not None and bool(ids.engine_user_id) and account.engine_user_id == ids.engine_user_id


async def note_end(turn: RoutedTurn, *, finish_reason: str = "", error: DomainError | None = None) -> None:
    """Stores how a call ended, since the engine may report it differently or not at all."""
    ending: dict[str, Any] = {"error": error.as_dict()} if error else {"finish_reason": finish_reason}
    try:
        await in_tenant(turn.tenant, _note_end, turn.turn_id, ending)
    except DatabaseError as exc:  # the engine gets its response anyway
        log.warning("end was not noted", turn_id=str(turn.turn_id), error=type(exc).__name__)


async def note_replayed(turn: RoutedTurn, entry: JsonObject) -> None:
    """Stores the fields that the model wants back, before the engine sees the calls."""
    await in_tenant(turn.tenant, _note_replayed, turn.turn_id, entry)


def _note_replayed(turn_id: UUID, entry: JsonObject) -> None:
    added = Func(
        F("replayed"),
        Value([entry], output_field=JSONField()),
        template="%(expressions)s",
        arg_joiner=" || ",
        output_field=JSONField(),
    )
    Turn.objects.filter(id=turn_id).update(replayed=added)


def _note_end(turn_id: UUID, ending: dict[str, Any]) -> None:
    Turn.objects.filter(id=turn_id).update(last_call=ending)
