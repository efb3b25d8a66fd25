"""Our own copy of the messages before a turn, to compare with an engine's history."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F, Func, JSONField, Value

from gateway.calls.tool_news import notify_news
from gateway.models import Message, Turn

MOST_TURNS = 100  # before the turn, as many as a history may have
HISTORY, OURS = "history", "ours"  # in a turn's parameters: its calls use our copy


@dataclass(frozen=True, slots=True)
class Exchange:
    """One earlier turn: the question and, unless it failed, the reply."""

    question: str
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Branch:
    """The exchanges before a turn, the latest first, and the turn's own question.

    `is_ours`: the engine is known to lack some of them. `is_noted`: that was known before this turn.
    """

    question: str = ""
    earlier: tuple[Exchange, ...] = ()
    is_ours: bool = False
    is_noted: bool = False

    @property
    def replied(self) -> list[Exchange]:
        """The exchanges that models get: a question without a reply is left out."""
        return [exchange for exchange in self.earlier if exchange.reply.strip()]

    @property
    def unanswered(self) -> set[str]:
        return {normalised(exchange.question) for exchange in self.earlier if not exchange.reply.strip()}


def normalised(text: str) -> str:
    """A text for comparison: engines may change white space."""
    return " ".join(text.split())


def branch_of(turn: Turn) -> Branch:
    """In the tenant's schema; two reads, bounded by MOST_TURNS, and none for a conversation's first turn."""
    if turn.conversation_id is None or turn.previous_id is None:
        return Branch()
    path = Turn.objects.filter(
        conversation=turn.conversation_id, is_current=True, created_at__lt=turn.created_at
    )
    rows = list(path.order_by("-created_at", "-id").values_list("id", "parameters")[:MOST_TURNS])
    contents = _contents([turn.id, *(row_id for row_id, _ in rows)])
    is_noted = any(parameters.get(HISTORY) == OURS for _, parameters in rows)
    return Branch(
        question=contents.get((turn.id, Message.Role.USER), ""),
        earlier=tuple(
            Exchange(
                contents.get((row_id, Message.Role.USER), ""),
                contents.get((row_id, Message.Role.ASSISTANT), ""),
            )
            for row_id, _ in rows
        ),
        is_ours=is_noted or turn.parameters.get(HISTORY) == OURS,
        is_noted=is_noted,
    )


def _contents(turn_ids: Iterable[UUID]) -> dict[tuple[UUID, str], str]:
    rows = Message.objects.filter(turn__in=list(turn_ids)).values_list("turn", "role", "content")
    return {(turn_id, role): content for turn_id, role, content in rows}


def note_restored(turn_id: UUID) -> None:
    """Records that the turn uses our copy of the history, and notifies its followers."""
    merged = Func(
        F("parameters"),
        Value({HISTORY: OURS}, output_field=JSONField()),
        template="(%(expressions)s)",
        arg_joiner=" || ",
        output_field=JSONField(),
    )
    Turn.objects.filter(id=turn_id).update(parameters=merged)
    notify_news(turn_id)


def was_restored(*, turn_id: UUID) -> bool:
    """Whether clients get a notice that the turn continues from our copy."""
    turn = Turn.objects.filter(id=turn_id).first()
    if turn is None or turn.parameters.get(HISTORY) != OURS:
        return False
    earlier = Turn.objects.filter(
        conversation=turn.conversation_id,
        is_current=True,
        created_at__lt=turn.created_at,
        parameters__history=OURS,
    )
    return not earlier.exists()
