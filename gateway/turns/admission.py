"""Admits a turn: bounds its cost, then writes Conversation, Turn and Reservation in one transaction."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.audit import refusals
from accounts.engine_accounts import member_account
from accounts.principals import Principal
from gateway.calls.bounds import Bounds, planned
from gateway.calls.call_images import with_images
from gateway.calls.tool_names import offer_tools
from gateway.conversations.images import take_images
from gateway.conversations.services import visible_conversations
from gateway.engines.base import Question, TurnJob
from gateway.engines.registry import conversation_store, current_engine, engine_for
from gateway.errors import TurnInProgress
from gateway.models import Conversation, Message, Turn
from gateway.providers.base import ModelRequest
from gateway.providers.registry import provider_for
from gateway.turns.context import (
    Branch,
    Draft,
    Replay,
    find_replay,
    is_asked_again,
    read_draft_or_replay,
)
from gateway.turns.heartbeat import HOLDER
from gateway.turns.history import fit_request
from gateway.turns.requests import SendRequest
from gateway.turns.titles import title_of
from kit.errors import DomainError, NotFound
from kit.tenancy import in_public, in_tenant
from quotas.limits import Limit
from quotas.planned_calls import Payer
from quotas.reservations import open_turn
from workspaces.language_models.queries import ModelRef
from workspaces.mcp_servers.queries import ServerRef

MOST_ANCESTORS = 20  # passed to an engine


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admitted turn; `job` is None for an earlier turn with the same Idempotency-Key."""

    turn_id: UUID
    job: TurnJob | None
    limits: tuple[Limit, ...] = ()  # those checked, with their current remainders


async def admit_turn(principal: Principal, send_request: SendRequest) -> Admitted:
    """A turn whose reservation is open. Raises the refusal, which is audited."""
    try:
        draft = await in_tenant(
            principal.tenant, read_draft_or_replay, principal=principal, send_request=send_request
        )
        if isinstance(draft, Replay):
            return Admitted(turn_id=draft.turn_id, job=None)
        request, bounds = await fit_draft(draft, send_request)
        return await in_tenant(
            principal.tenant,
            write_turn,
            principal=principal,
            send_request=send_request,
            draft=draft,
            request=request,
            bounds=bounds,
        )
    except DomainError as refusal:
        await in_public(record_refusal, principal=principal, refusal=refusal, model=send_request.model)
        raise


async def fit_draft(draft: Draft, send_request: SendRequest) -> tuple[ModelRequest, Bounds]:
    """The draft's first model call, and its bounds. Raises the decision's refusal."""
    model = draft.decision.admitted_model()
    return await fit_request(
        provider=provider_for(model),
        model=model,
        history=draft.branch.history,
        message=with_images(draft.message, draft.images),
        instructions=draft.instructions,
        max_tokens=send_request.max_tokens,
        temperature=send_request.temperature,
        tools=[tool.definition for tool in offer_tools(draft.servers)],
    )


def write_turn(
    *, principal: Principal, send_request: SendRequest, draft: Draft, request: ModelRequest, bounds: Bounds
) -> Admitted:
    """One transaction: Conversation, Turn, the user's Message, Reservation; the budget comes last.

    The unique constraints decide races: of two turns in a conversation one gets TurnInProgress, of two
    requests with one Idempotency-Key the second gets the turn of the first.
    """
    try:
        with transaction.atomic():
            conversation = _conversation_for(principal, send_request, draft)
            turn = _create_turn(principal, send_request, draft, conversation)
            limits = reserve_turn(turn, principal=principal, model=draft.models[0], bounds=bounds)
    except IntegrityError as exc:
        return _explain_race(principal, send_request, exc)
    job = job_of(
        turn,
        principal=principal,
        models=draft.models,
        request=request,
        bounds=bounds,
        question=_question(turn, send_request, draft),
        ancestors=draft.branch.ancestors[:MOST_ANCESTORS],
        engine_account_id=conversation.engine_account_id,
        servers=draft.servers,
    )
    return Admitted(turn_id=turn.id, job=job, limits=tuple(limits))


def reserve_turn(turn: Turn, *, principal: Principal, model: ModelRef, bounds: Bounds) -> list[Limit]:
    """Opens the turn's reservation, in the transaction that wrote the turn and as its last step."""
    return open_turn(
        turn_id=turn.id,
        payer=Payer.of(principal),
        call=planned(model, bounds),
        purpose=turn.kind,
        engine=turn.engine,
        lease_seconds=settings.TURN_LEASE_SECONDS,
        holder=HOLDER,
    )


def job_of(
    turn: Turn,
    *,
    principal: Principal,
    models: tuple[ModelRef, ...],
    request: ModelRequest,
    bounds: Bounds,
    question: Question | None = None,
    ancestors: tuple[UUID, ...] = (),
    engine_account_id: UUID | None = None,
    servers: tuple[ServerRef, ...] = (),
) -> TurnJob:
    """The job that runs the turn; the reply of a completion is stored only if it can be asked for again."""
    is_asked_for = turn.conversation_id is not None or turn.idempotency_key is not None
    return TurnJob(
        turn_id=turn.id,
        conversation_id=turn.conversation_id,
        tenant=principal.tenant,
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        engine=turn.engine,
        model=models[0],
        fallbacks=models[1:],
        request=request,
        bounds=bounds,
        stores_reply=turn.kind == Turn.Kind.CHAT or is_asked_for,
        question=question,
        ancestors=ancestors,
        engine_account_id=engine_account_id,
        servers=servers,
    )


def _question(turn: Turn, send_request: SendRequest, draft: Draft) -> Question:
    return Question(id=turn.question_id, text=draft.message, is_asked_again=is_asked_again(send_request))


def _conversation_for(principal: Principal, send_request: SendRequest, draft: Draft) -> Conversation:
    if send_request.conversation_id is None:
        return _begin_conversation(principal, draft.message)
    conversation = (
        visible_conversations(principal).select_for_update().filter(id=send_request.conversation_id).first()
    )
    if conversation is None:
        raise NotFound
    _expect_unchanged(conversation, draft.branch)
    engine = engine_for(conversation.engine)
    if engine != conversation.engine:  # no longer this installation's: our own copy is continued
        conversation.engine, conversation.engine_account_id = engine, None
        conversation.save(update_fields=["engine", "engine_account_id"])
    return conversation


def _begin_conversation(principal: Principal, message: str) -> Conversation:
    engine = current_engine()
    account = (
        member_account(engine=engine.name, tenant_id=principal.tenant.id, user_id=principal.user_id)
        if conversation_store(engine.name)
        else None
    )
    return Conversation.objects.create(
        id=uuid4(),
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        title=title_of(message),
        engine=engine.name,
        engine_account_id=account.id if account else None,
    )


def _expect_unchanged(conversation: Conversation, branch: Branch) -> None:
    """TurnInProgress if another turn ran since the draft was read: its reply belongs in the history."""
    latest = conversation.turns.current().values_list("id", flat=True).first()
    if latest != branch.latest:
        raise TurnInProgress(turn_id=str(latest))


def _create_turn(
    principal: Principal, send_request: SendRequest, draft: Draft, conversation: Conversation
) -> Turn:
    if draft.branch.replaced is not None:
        _leave_branch(conversation, draft.branch.replaced)
    message_id = uuid4()
    turn = Turn.objects.create(
        conversation=conversation,
        previous_id=draft.branch.ancestors[0] if draft.branch.ancestors else None,
        question_id=(is_asked_again(send_request) and draft.branch.question_id) or message_id,
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        kind=Turn.Kind.CHAT,
        model=send_request.model,
        model_id=draft.decision.admitted_model().id,
        engine=conversation.engine,
        decision=draft.decision.as_dict(),
        parameters=_parameters(send_request, draft),
        idempotency_key=send_request.idempotency_key,
        body_hash=send_request.body_hash,
    )
    message = Message.objects.create(
        id=message_id,
        conversation=conversation,
        turn=turn,
        role=Message.Role.USER,
        content=draft.message,
        image_ids=list(draft.images),
    )
    take_images(message=message, image_ids=draft.images, user_id=principal.user_id)
    Conversation.objects.filter(id=conversation.id).update(
        turn_count=F("turn_count") + 1, last_turn_at=timezone.now()
    )
    return turn


def _leave_branch(conversation: Conversation, replaced: UUID) -> None:
    """The replaced turn and all that followed it stay stored, but not on the current path."""
    since = Turn.objects.filter(id=replaced).values("created_at")
    conversation.turns.filter(is_current=True, created_at__gte=since).update(is_current=False)


def _parameters(send_request: SendRequest, draft: Draft) -> dict[str, Any]:
    named = {
        "max_tokens": send_request.max_tokens,
        "temperature": send_request.temperature,
        "mcps": list(send_request.mcps) or None,
        "mcp_ids": [str(server.id) for server in draft.servers] or None,
        "prompt": draft.prompt.reference if draft.prompt else None,
    }
    given = {name: value for name, value in named.items() if value is not None}
    return {**given, "instructions": draft.instructions} if draft.instructions else given


def _explain_race(principal: Principal, send_request: SendRequest, exc: IntegrityError) -> Admitted:
    replay = find_replay(principal, send_request)
    if replay is not None:
        return Admitted(turn_id=replay.turn_id, job=None)
    if send_request.conversation_id is not None:
        running = Turn.objects.running().filter(conversation=send_request.conversation_id).first()
        if running is not None:
            raise TurnInProgress(turn_id=str(running.id)) from exc
    raise exc


def record_refusal(*, principal: Principal, refusal: DomainError, model: str) -> None:
    refusals.record_refusal("turn.refused", code=refusal.code, principal=principal, target=model)
