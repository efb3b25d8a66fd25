"""Reads everything that decides about a message to send: models, servers, conversation, branch, images."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from accounts.principals import Principal
from accounts.sign_in.profile import language_name
from gateway.calls.call_images import EarlierImages, UserMessage
from gateway.conversations.images import find_images
from gateway.conversations.services import visible_conversations
from gateway.engines.registry import current_engine, engine_for, engine_named
from gateway.errors import IdempotencyConflict, TurnInProgress
from gateway.models import Conversation, Message, Turn
from gateway.turns.decision import Decision, RequestedServers, decide
from gateway.turns.history import HISTORY_TURNS
from gateway.turns.requests import LONGEST_MESSAGE, SendRequest
from kit.errors import InvalidInput, NotFound
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import ModelRef, fallback_chain, installed_models, needed_abilities
from workspaces.mcp_servers.queries import ServerRef, enabled_servers, enabled_slugs
from workspaces.prompts.queries import RenderedPrompt, render_prompt

Ability = LanguageModel.Ability
NO_TEXT = "[A reply without text]"


@dataclass(frozen=True, slots=True)
class Branch:
    """A turn's position in its conversation: the turns before it, and the one that it replaces."""

    history: list[list[dict[str, Any]]] = field(default_factory=list)  # messages by turn, oldest first
    ancestors: tuple[UUID, ...] = ()  # the turns before it, latest first
    latest: UUID | None = None  # the conversation's latest turn now
    replaced: UUID | None = None
    asked: str = ""  # the message of the replaced turn
    asked_images: tuple[UUID, ...] = ()  # its images
    question_id: UUID | None = None  # its id at the engine


@dataclass(frozen=True, slots=True)
class Draft:
    """A turn before its admission, from one read of the tenant's schema."""

    decision: Decision
    message: str
    branch: Branch
    images: tuple[UUID, ...] = ()
    instructions: str = ""  # the system message of every call of the turn
    prompt: RenderedPrompt | None = None  # the message is, or begins with, its text
    servers: tuple[ServerRef, ...] = ()  # the requested MCP servers
    models: tuple[ModelRef, ...] = ()  # the admitted one and its fallbacks


@dataclass(frozen=True, slots=True)
class Replay:
    """The turn that the same Idempotency-Key created before."""

    turn_id: UUID


def read_draft_or_replay(*, principal: Principal, send_request: SendRequest) -> Draft | Replay:
    """Raises as `read_draft` does, and IdempotencyConflict."""
    replay = find_replay(principal, send_request)
    if replay is not None:
        return replay
    try:
        return read_draft(principal=principal, send_request=send_request)
    except TurnInProgress:
        # The running turn may come from this very request, sent twice concurrently.
        replay = find_replay(principal, send_request)
        if replay is None:
            raise
        return replay


def read_draft(*, principal: Principal, send_request: SendRequest) -> Draft:
    """Reads the turn's context in the tenant's schema.

    NotFound for a conversation or a turn in it that is not visible, TurnInProgress, InvalidInput.
    """
    installed = installed_models(workspace_id=principal.workspace.id)
    servers = requested_servers(principal, send_request.mcps)
    branch = _read_branch(principal, send_request)
    images = _images_of(principal, send_request, branch)
    decision = decide(
        principal=principal,
        model_slug=send_request.model,
        installed=installed,
        servers=servers,
        engine_runs_tools=engine_named(_engine_of(send_request)).runs_tools,
        has_images=bool(images),
    )
    needed = needed_abilities(tools=bool(send_request.mcps), images=bool(images))
    models = tuple(fallback_chain(decision.model, installed, principal, needed)) if decision.model else ()
    rendered = _rendered(principal, send_request)
    return Draft(
        decision=decision,
        message=_message_of(send_request, rendered) or branch.asked,
        images=images,
        branch=replace(branch, history=_model_history(branch.history, decision.model)),
        instructions=instructions_for(principal),
        models=models,
        prompt=rendered,
        servers=servers.enabled,
    )


def _rendered(principal: Principal, send_request: SendRequest) -> RenderedPrompt | None:
    """InvalidInput for an unusable prompt and for values that do not fit it."""
    if send_request.prompt is None:
        return None
    try:
        return render_prompt(principal=principal, slug=send_request.prompt, values=send_request.variables)
    except NotFound as exc:
        raise InvalidInput(prompt=["No prompt with this name is available to you."]) from exc


def _message_of(send_request: SendRequest, rendered: RenderedPrompt | None) -> str:
    """The message to send; empty if the replaced turn's question is asked again."""
    texts = (rendered.text if rendered else "", send_request.message or "")
    message = "\n\n".join(text for text in texts if text)
    if len(message) > LONGEST_MESSAGE:
        raise InvalidInput(
            message=[f"With the prompt, the message is longer than {LONGEST_MESSAGE} characters."]
        )
    if rendered is not None and not message.strip():
        raise InvalidInput(prompt=["With these values the prompt is empty."])
    return message


def requested_servers(principal: Principal, slugs: tuple[str, ...]) -> RequestedServers:
    """Reads nothing for a request without MCP servers."""
    if not slugs:
        return RequestedServers()
    enabled = enabled_servers(workspace_id=principal.workspace.id, slugs=slugs, user_id=principal.user_id)
    return RequestedServers(slugs, tuple(enabled), _alternatives(principal, slugs, enabled))


def _alternatives(
    principal: Principal, requested: Iterable[str], enabled: Iterable[ServerRef]
) -> tuple[str, ...]:
    """Enabled server slugs, for the error when an unknown one was requested."""
    is_complete = {server.slug for server in enabled} >= set(requested)
    return () if is_complete else tuple(enabled_slugs(workspace_id=principal.workspace.id))


def _engine_of(send_request: SendRequest) -> str:
    """The engine that the turn would run on."""
    conversation_id = send_request.conversation_id
    if not send_request.mcps or conversation_id is None:
        return current_engine().name
    previous = Conversation.objects.filter(id=conversation_id).values_list("engine", flat=True).first()
    return engine_for(previous) if previous else current_engine().name


def find_replay(principal: Principal, send_request: SendRequest) -> Replay | None:
    """IdempotencyConflict if the key was used with another body."""
    key = send_request.idempotency_key
    return None if key is None else find_keyed(principal, key, send_request.body_hash)


def find_keyed(principal: Principal, key: str, body_hash: str) -> Replay | None:
    """The turn that has this Idempotency-Key. IdempotencyConflict if it answers another body."""
    turn = Turn.objects.filter(
        user_id=principal.user_id, workspace_id=principal.workspace.id, idempotency_key=key
    ).first()
    if turn is None:
        return None
    if turn.body_hash != body_hash:
        raise IdempotencyConflict
    return Replay(turn.id)


def _read_branch(principal: Principal, send_request: SendRequest) -> Branch:
    if send_request.conversation_id is None:
        return Branch()
    conversation = visible_conversations(principal).filter(id=send_request.conversation_id).first()
    if conversation is None:
        raise NotFound
    path = list(conversation.turns.current().prefetch_related("messages")[: HISTORY_TURNS + 1])
    if path and path[0].is_running:  # only the latest can be
        raise TurnInProgress(turn_id=str(path[0].id))
    latest = path[0].id if path else None
    replaced = _find_replaced(conversation, send_request.replaces)
    if replaced is not None:
        before = conversation.turns.current().filter(created_at__lt=replaced.created_at)
        path = list(before.prefetch_related("messages")[:HISTORY_TURNS])
    turns = path[:HISTORY_TURNS]
    question = _question_of(replaced) if replaced else None
    return Branch(
        history=_history(turns),
        ancestors=tuple(turn.id for turn in turns),
        latest=latest,
        replaced=replaced.id if replaced else None,
        asked=question.content if question else "",
        asked_images=tuple(question.image_ids) if question else (),
        question_id=replaced.question_id if replaced else None,
    )


def _find_replaced(conversation: Conversation, turn_id: UUID | None) -> Turn | None:
    if turn_id is None:
        return None
    turn = conversation.turns.current().prefetch_related("messages").filter(id=turn_id).first()
    if turn is None:
        raise NotFound
    return turn


def _question_of(turn: Turn) -> Message:
    return next(message for message in turn.messages.all() if message.role == Message.Role.USER)


def _history(turns: list[Turn]) -> list[list[dict[str, Any]]]:
    """One list of messages a turn, oldest first.

    A turn without a reply is left out: models answer best to alternating questions and answers.
    """
    messages = [sorted(turn.messages.all(), key=lambda m: m.role != Message.Role.USER) for turn in turns]
    return [[_sent(message) for message in pair] for pair in reversed(messages) if len(pair) == 2]


def _sent(message: Message) -> dict[str, Any]:
    """Models are sent the images of user messages only; providers refuse a reply without text."""
    is_reply = message.role == Message.Role.ASSISTANT
    content = (message.content or NO_TEXT) if is_reply else message.content
    return {"role": message.role, "content": content, "image_ids": [] if is_reply else message.image_ids}


def _model_history(history: list[list[dict[str, Any]]], model: ModelRef | None) -> list[list[dict[str, Any]]]:
    """The history as the model is sent it: with the latest images, if it can see any."""
    earlier = EarlierImages(is_seeing=model is not None and Ability.IMAGES in model.abilities)
    # Only so many images are shown, counted from the latest message back.
    contents = {
        (at, number): earlier.content(UserMessage(message["content"], tuple(message["image_ids"])))
        for at, turn in reversed(list(enumerate(history)))
        for number, message in reversed(list(enumerate(turn)))
    }
    return [
        [{"role": message["role"], "content": contents[at, number]} for number, message in enumerate(turn)]
        for at, turn in enumerate(history)
    ]


def _images_of(principal: Principal, send_request: SendRequest, branch: Branch) -> tuple[UUID, ...]:
    if is_asked_again(send_request):
        return branch.asked_images
    return find_images(principal=principal, wanted=send_request.images, known=branch.asked_images)


def is_asked_again(send_request: SendRequest) -> bool:
    """Whether the turn answers an existing question once more."""
    return send_request.replaces is not None and send_request.message is None and send_request.prompt is None


def instructions_for(principal: Principal) -> str:
    """The person's reply language; empty if they have set none."""
    language = language_name(principal.reply_language)
    return f"Reply in {language} unless you are asked for another language." if language else ""
