"""Admits a turn: reads what decides, bounds its cost, writes Conversation, Turn and Reservation at once."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts import audit
from accounts.principals import Principal
from gateway.egress.metered import Bounds
from gateway.engines.base import TurnJob
from gateway.ingress.conversations import own_conversations
from gateway.ingress.decisions import Decision, decide
from gateway.ingress.history import HISTORY_TURNS, fit_request
from gateway.ingress.requests import SendRequest
from gateway.models import Conversation, Message, Turn
from gateway.providers.base import ModelRequest
from gateway.providers.registry import provider_for
from kit.errors import DomainError, IdempotencyConflict, NotFound, TurnInProgress
from kit.tenancy import in_public, in_tenant
from quotas.reservations import open_turn
from workspaces.language_models.services import ModelRef, installed_models

TITLE_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Draft:
    """What one read of the tenant's schema found out about a wish."""

    decision: Decision
    history: list[list[dict[str, Any]]]
    replayed_turn: UUID | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A turn that exists; `job` is None where an Idempotency-Key led to an earlier one."""

    turn_id: UUID
    job: TurnJob | None


async def admit_turn(principal: Principal, wish: SendRequest) -> Admitted:
    """Raises the refusal (audited), or returns a turn whose reservation is open."""
    try:
        draft = await in_tenant(principal.tenant, read_draft, principal=principal, wish=wish)
        if draft.replayed_turn is not None:
            return Admitted(turn_id=draft.replayed_turn, job=None)
        model = draft.decision.admitted_model()
        request, bounds = await fit_draft(model, draft, wish)
        return await in_tenant(
            principal.tenant,
            write_turn,
            principal=principal,
            wish=wish,
            decision=draft.decision,
            model=model,
            request=request,
            bounds=bounds,
        )
    except DomainError as refusal:
        await in_public(record_refusal, principal=principal, refusal=refusal, model=wish.model)
        raise


async def fit_draft(model: ModelRef, draft: Draft, wish: SendRequest) -> tuple[ModelRequest, Bounds]:
    return await fit_request(
        provider=provider_for(model),
        model=model,
        history=draft.history,
        message=wish.message,
        max_tokens=wish.max_tokens,
        temperature=wish.temperature,
    )


def read_draft(*, principal: Principal, wish: SendRequest) -> Draft:
    """Reads models, conversation and history in the tenant's schema.

    NotFound for a conversation that is not the caller's own in this workspace, TurnInProgress,
    IdempotencyConflict.
    """
    replayed = find_replay(principal, wish)
    if replayed is not None:
        return Draft(decision=Decision(checks=(), model=None), history=[], replayed_turn=replayed)
    decision = decide(
        principal=principal,
        model_slug=wish.model,
        mcps=wish.mcps,
        installed=installed_models(workspace_id=principal.workspace.id),
    )
    try:
        history = _read_history(principal, wish.conversation_id) if wish.conversation_id else []
    except TurnInProgress:
        replayed = find_replay(principal, wish)  # the running one may be this very wish, sent twice at once
        if replayed is None:
            raise
        return Draft(decision=decision, history=[], replayed_turn=replayed)
    return Draft(decision=decision, history=history)


def find_replay(principal: Principal, wish: SendRequest) -> UUID | None:
    """The turn that this Idempotency-Key made before; another body is a conflict."""
    if wish.idempotency_key is None:
        return None
    turn = Turn.objects.filter(
        user_id=principal.user_id,
        workspace_id=principal.workspace.id,
        idempotency_key=wish.idempotency_key,
    ).first()
    if turn is None:
        return None
    if turn.body_hash != wish.body_hash:
        raise IdempotencyConflict
    return turn.id


def _read_history(principal: Principal, conversation_id: UUID) -> list[list[dict[str, Any]]]:
    conversation = own_conversations(principal).filter(id=conversation_id).first()
    if conversation is None:
        raise NotFound
    running = conversation.turns.filter(status=Turn.Status.RUNNING).values_list("id", flat=True).first()
    if running is not None:
        raise TurnInProgress(turn_id=str(running))
    turns = conversation.turns.order_by("-created_at", "-id").prefetch_related("messages")[:HISTORY_TURNS]
    told = [sorted(turn.messages.all(), key=lambda m: m.role != Message.Role.USER) for turn in turns]
    # A turn that brought no reply is left out: models answer best to questions and answers in turn.
    return [
        [{"role": m.role, "content": m.content} for m in pair] for pair in reversed(told) if len(pair) == 2
    ]


def write_turn(
    *,
    principal: Principal,
    wish: SendRequest,
    decision: Decision,
    model: ModelRef,
    request: ModelRequest,
    bounds: Bounds,
) -> Admitted:
    """One transaction: Conversation, Turn, the user's Message, Reservation; the budget comes last.

    The unique constraints settle races: of two first turns in a conversation one gets TurnInProgress, of two
    requests with one Idempotency-Key the second gets the first one's turn.
    """
    try:
        with transaction.atomic():
            conversation = _conversation_for(principal, wish)
            turn = _create_turn(principal, wish, decision, conversation)
            reserve_turn(turn, principal=principal, model=model, bounds=bounds)
    except IntegrityError as exc:
        return _explain_race(principal, wish, exc)
    job = job_of(turn, principal=principal, model=model, request=request, bounds=bounds)
    return Admitted(turn_id=turn.id, job=job)


def reserve_turn(turn: Turn, *, principal: Principal, model: ModelRef, bounds: Bounds) -> None:
    """Opens the turn's reservation, in the transaction that wrote the turn and as its last step."""
    open_turn(
        turn_id=turn.id,
        tenant_id=principal.tenant.id,
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        purpose=turn.kind,
        engine=turn.engine,
        model=model.slug,
        provider=model.provider,
        prompt_bound=bounds.prompt,
        output_bound=bounds.output,
        lease_seconds=settings.TURN_LEASE_SECONDS,
    )


def job_of(
    turn: Turn, *, principal: Principal, model: ModelRef, request: ModelRequest, bounds: Bounds
) -> TurnJob:
    """What runs the turn; of a completion nothing that is said is kept."""
    return TurnJob(
        turn_id=turn.id,
        conversation_id=turn.conversation_id,
        tenant=principal.tenant,
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        model=model,
        request=request,
        bounds=bounds,
        keeps_reply=turn.kind == Turn.Kind.CHAT,
    )


def _conversation_for(principal: Principal, wish: SendRequest) -> Conversation:
    if wish.conversation_id is None:
        return Conversation.objects.create(
            id=uuid4(),
            workspace_id=principal.workspace.id,
            user_id=principal.user_id,
            title=title_of(wish.message),
            engine=settings.ENGINE,
        )
    conversation = own_conversations(principal).select_for_update().filter(id=wish.conversation_id).first()
    if conversation is None:
        raise NotFound
    return conversation


def _create_turn(
    principal: Principal, wish: SendRequest, decision: Decision, conversation: Conversation
) -> Turn:
    turn = Turn.objects.create(
        conversation=conversation,
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        kind=Turn.Kind.CHAT,
        model=wish.model,
        engine=settings.ENGINE,
        decision=decision.as_dict(),
        idempotency_key=wish.idempotency_key,
        body_hash=wish.body_hash,
    )
    Message.objects.create(conversation=conversation, turn=turn, role=Message.Role.USER, content=wish.message)
    Conversation.objects.filter(id=conversation.id).update(
        turn_count=F("turn_count") + 1, last_turn_at=timezone.now()
    )
    return turn


def _explain_race(principal: Principal, wish: SendRequest, exc: IntegrityError) -> Admitted:
    replayed = find_replay(principal, wish)
    if replayed is not None:
        return Admitted(turn_id=replayed, job=None)
    running = _running_turn(wish.conversation_id)
    if running is not None:
        raise TurnInProgress(turn_id=str(running.id)) from exc
    raise exc


def _running_turn(conversation_id: UUID | None) -> Turn | None:
    if conversation_id is None:
        return None
    return Turn.objects.filter(conversation_id=conversation_id, status=Turn.Status.RUNNING).first()


def title_of(message: str) -> str:
    """A conversation is called by its first message's first line until somebody renames it."""
    line = " ".join(message.strip().splitlines()[0].split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"


def record_refusal(*, principal: Principal, refusal: DomainError, model: str) -> None:
    audit.record("turn.refused", principal=principal, target=model, code=refusal.code)
