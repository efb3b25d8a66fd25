"""Reads what decides about a wish to send a message: the models, the conversation, the branch it goes on."""

from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from accounts.principals import Principal
from accounts.sign_in.profile import language_name
from gateway.calls.images import AskedWith, Earlier
from gateway.conversations.images import find_images
from gateway.conversations.services import visible_conversations
from gateway.engines.registry import current_engine, engine_for, engine_named
from gateway.errors import IdempotencyConflict, TurnInProgress
from gateway.models import Conversation, Message, Turn
from gateway.turns.decision import Decision, decide
from gateway.turns.history import HISTORY_TURNS
from gateway.turns.requests import LONGEST_MESSAGE, SendRequest
from kit.errors import InvalidInput, NotFound
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import ModelRef, fallback_chain, installed_models, needed_abilities
from workspaces.mcp_servers.queries import ServerRef, enabled_servers, enabled_slugs
from workspaces.prompts.services import RenderedPrompt, render_prompt

Ability = LanguageModel.Ability


@dataclass(frozen=True, slots=True)
class Branch:
    """The place in a conversation that a turn takes: the turns before it, and the one it stands in for."""

    history: list[list[dict[str, Any]]] = field(default_factory=list)  # messages by turn, oldest first
    ancestors: tuple[UUID, ...] = ()  # the turns before it, the latest first
    latest: UUID | None = None  # the conversation's latest turn now
    replaced: UUID | None = None
    asked: str = ""  # the message of the turn that is replaced
    asked_images: tuple[UUID, ...] = ()  # and the images that it was asked with
    question_id: UUID | None = None  # and its id at the engine


@dataclass(frozen=True, slots=True)
class Draft:
    """What one read of the tenant's schema found out about a wish; `message` is what is asked."""

    decision: Decision
    message: str = ""
    images: tuple[UUID, ...] = ()  # that are asked about
    branch: Branch = field(default_factory=Branch)
    instructions: str = ""  # what every call of the turn is told first
    prompt: RenderedPrompt | None = None  # whose text the message is, or begins with
    servers: tuple[ServerRef, ...] = ()  # the MCP servers that were asked for
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
    servers = _wanted_servers(principal, wish)
    try:
        branch = _read_branch(principal, wish)
    except TurnInProgress:
        replayed = find_replay(principal, wish)  # the running one may be this very wish, sent twice at once
        if replayed is None:
            raise
        return Draft(decision=Decision(checks=(), model=None), replayed_turn=replayed)
    images = _images_of(principal, wish, branch)
    decision = decide(
        principal=principal,
        model_slug=wish.model,
        mcps=wish.mcps,
        installed=installed,
        servers=servers,
        server_slugs=_known_slugs(principal, wish, servers),
        engine_runs_tools=engine_named(_engine_of(wish)).runs_tools,
        has_images=bool(images),
    )
    needed = needed_abilities(tools=bool(wish.mcps), images=bool(images))
    models = tuple(fallback_chain(decision.model, installed, principal, needed)) if decision.model else ()
    rendered = _rendered(principal, wish)
    message = _message_of(wish, rendered) or branch.asked
    instructions = instructions_for(principal)
    return Draft(
        decision=decision,
        message=message,
        images=images,
        branch=replace(branch, history=_shown(branch.history, decision.model)),
        instructions=instructions,
        models=models,
        prompt=rendered,
        servers=tuple(servers),
    )


def _rendered(principal: Principal, wish: SendRequest) -> RenderedPrompt | None:
    """InvalidInput for a prompt that the caller may not use, and for values that do not fit it."""
    if wish.prompt is None:
        return None
    try:
        return render_prompt(place=principal, slug=wish.prompt, values=wish.variables)
    except NotFound as exc:
        raise InvalidInput(prompt=["No prompt with this name is available to you."]) from exc


def _message_of(wish: SendRequest, rendered: RenderedPrompt | None) -> str:
    """What is asked; empty where the replaced turn's question is asked again."""
    message = "\n\n".join(text for text in (rendered.text if rendered else "", wish.message or "") if text)
    if len(message) > LONGEST_MESSAGE:
        raise InvalidInput(
            message=[f"With the prompt, the message is longer than {LONGEST_MESSAGE} characters."]
        )
    if rendered is not None and not message.strip():
        raise InvalidInput(prompt=["With these values the prompt is empty."])
    return message


def _wanted_servers(principal: Principal, wish: SendRequest) -> list[ServerRef]:
    """Nothing is read for a wish that names no MCP server."""
    if not wish.mcps:
        return []
    return enabled_servers(workspace_id=principal.workspace.id, slugs=wish.mcps, user_id=principal.user_id)


def _known_slugs(principal: Principal, wish: SendRequest, servers: list[ServerRef]) -> list[str]:
    """What there is, for whoever asks for what there is not."""
    is_complete = {server.slug for server in servers} >= set(wish.mcps)
    return [] if is_complete else enabled_slugs(workspace_id=principal.workspace.id)


def _engine_of(wish: SendRequest) -> str:
    """The engine that the turn would run on."""
    if not wish.mcps or wish.conversation_id is None:
        return current_engine().name
    kept = Conversation.objects.filter(id=wish.conversation_id).values_list("engine", flat=True).first()
    return engine_for(kept) if kept else current_engine().name


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
        asked=_question_of(replaced).content if replaced else "",
        asked_images=tuple(_question_of(replaced).image_ids) if replaced else (),
        question_id=replaced.question_id if replaced else None,
    )


def current_turns(conversation: Conversation) -> Any:
    """The turns on the path that is shown, the latest first."""
    return conversation.turns.filter(is_current=True).order_by("-created_at", "-id")


def _find_replaced(conversation: Conversation, turn_id: UUID | None) -> Turn | None:
    if turn_id is None:
        return None
    turn: Turn | None = current_turns(conversation).prefetch_related("messages").filter(id=turn_id).first()
    if turn is None:
        raise NotFound
    return turn


def _question_of(turn: Turn) -> Message:
    return next(message for message in turn.messages.all() if message.role == Message.Role.USER)


def _told(turns: list[Turn]) -> list[list[dict[str, Any]]]:
    """What was said, a list a turn, oldest first.

    A turn that brought no reply is left out: models answer best to questions and answers in turn.
    """
    told = [sorted(turn.messages.all(), key=lambda m: m.role != Message.Role.USER) for turn in turns]
    return [
        [{"role": m.role, "content": m.content, "image_ids": m.image_ids} for m in pair]
        for pair in reversed(told)
        if len(pair) == 2
    ]


def _shown(history: list[list[dict[str, Any]]], model: ModelRef | None) -> list[list[dict[str, Any]]]:
    """The same as a model is told it: with the latest images, where it can see any."""
    earlier = Earlier(is_seeing=model is not None and Ability.IMAGES in model.abilities)
    shown = [
        [
            {
                "role": said["role"],
                "content": earlier.content(AskedWith(said["content"], tuple(said["image_ids"]))),
            }
            for said in reversed(turn)
        ][::-1]
        for turn in reversed(history)
    ]
    return shown[::-1]


def _images_of(principal: Principal, wish: SendRequest, branch: Branch) -> tuple[UUID, ...]:
    if is_asked_again(wish):
        return branch.asked_images
    return find_images(principal=principal, wanted=wish.images, known=branch.asked_images)


def is_asked_again(wish: SendRequest) -> bool:
    """Whether the turn answers a question that stands there already."""
    return wish.replaces is not None and wish.message is None and wish.prompt is None


def instructions_for(principal: Principal) -> str:
    """In the language that the person wants; empty where they want none."""
    language = language_name(principal.reply_language)
    return f"Reply in {language} unless you are asked for another language." if language else ""
