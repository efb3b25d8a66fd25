"""Reads what decides about a wish to send a message: the models, the conversation, the branch it goes on."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from accounts.principals import Principal
from accounts.profiles import language_name
from gateway.ingress.conversations import visible_conversations
from gateway.ingress.decisions import Decision, decide
from gateway.ingress.history import HISTORY_TURNS
from gateway.ingress.requests import SendRequest
from gateway.models import Conversation, Message, Turn
from kit.errors import IdempotencyConflict, NotFound, TurnInProgress
from workspaces.language_models.services import ModelRef, fallback_chain, installed_models


@dataclass(frozen=True, slots=True)
class Branch:
    """The place in a conversation that a turn takes: the turns before it, and the one it stands in for."""

    history: list[list[dict[str, Any]]] = field(default_factory=list)  # messages by turn, oldest first
    ancestors: tuple[UUID, ...] = ()  # the turns before it, the latest first
    latest: UUID | None = None  # the conversation's latest turn now
    replaced: UUID | None = None
    asked: str = ""  # the message of the turn that is replaced
    question_id: UUID | None = None  # and its id at the engine


@dataclass(frozen=True, slots=True)
class Draft:
    """What one read of the tenant's schema found out about a wish; `message` is what is asked."""

    decision: Decision
    message: str = ""
    branch: Branch = field(default_factory=Branch)
    instructions: str = ""  # what every call of the turn is told first
    models: tuple[ModelRef, ...] = ()  # the admitted one, and those that stand in for it
    replayed_turn: UUID | None = None


def read_draft(*, principal: Principal, wish: SendRequest) -> Draft:
    """Reads models, conversation and history in the tenant's schema.

    NotFound for a conversation or a turn in it that the caller may not see, TurnInProgress,
    IdempotencyConflict.
    """
    replayed = find_replay(principal, wish)
    if replayed is not None:
        return Draft(decision=Decision(checks=(), model=None), replayed_turn=replayed)
    installed = installed_models(workspace_id=principal.workspace.id)
    decision = decide(principal=principal, model_slug=wish.model, mcps=wish.mcps, installed=installed)
    try:
        branch = _read_branch(principal, wish)
    except TurnInProgress:
        replayed = find_replay(principal, wish)  # the running one may be this very wish, sent twice at once
        if replayed is None:
            raise
        return Draft(decision=decision, replayed_turn=replayed)
    models = tuple(fallback_chain(decision.model, installed)) if decision.model else ()
    message = branch.asked if wish.message is None else wish.message
    instructions = instructions_for(principal)
    return Draft(decision=decision, message=message, branch=branch, instructions=instructions, models=models)


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


def _read_branch(principal: Principal, wish: SendRequest) -> Branch:
    if wish.conversation_id is None:
        return Branch()
    conversation = visible_conversations(principal).filter(id=wish.conversation_id).first()
    if conversation is None:
        raise NotFound
    path = list(current_turns(conversation).prefetch_related("messages")[: HISTORY_TURNS + 1])
    if path and path[0].status == Turn.Status.RUNNING:  # only the latest can be
        raise TurnInProgress(turn_id=str(path[0].id))
    latest = path[0].id if path else None
    replaced = _find_replaced(conversation, wish.replaces)
    if replaced is not None:
        before = current_turns(conversation).filter(created_at__lt=replaced.created_at)
        path = list(before.prefetch_related("messages")[:HISTORY_TURNS])
    turns = path[:HISTORY_TURNS]
    return Branch(
        history=_told(turns),
        ancestors=tuple(turn.id for turn in turns),
        latest=latest,
        replaced=replaced.id if replaced else None,
        asked=_question_of(replaced) if replaced else "",
        question_id=replaced.question_id if replaced else None,
    )


def current_turns(conversation: Conversation) -> Any:
    """The turns on the path that is shown, the latest first."""
    return conversation.turns.filter(is_current=True).order_by("-created_at", "-id")


def _find_replaced(conversation: Conversation, turn_id: UUID | None) -> Turn | None:
    if turn_id is None:
        return None
    turn: Turn | None = current_turns(conversation).filter(id=turn_id).first()
    if turn is None:
        raise NotFound
    return turn


def _question_of(turn: Turn) -> str:
    return turn.messages.filter(role=Message.Role.USER).values_list("content", flat=True).first() or ""


def _told(turns: list[Turn]) -> list[list[dict[str, Any]]]:
    """What was said, a list a turn, oldest first.

    A turn that brought no reply is left out: models answer best to questions and answers in turn.
    """
    told = [sorted(turn.messages.all(), key=lambda m: m.role != Message.Role.USER) for turn in turns]
    return [
        [{"role": m.role, "content": m.content} for m in pair] for pair in reversed(told) if len(pair) == 2
    ]


def instructions_for(principal: Principal) -> str:
    """In the language that the person wants; empty where they want none."""
    language = language_name(principal.reply_language)
    return f"Reply in {language} unless you are asked for another language." if language else ""
