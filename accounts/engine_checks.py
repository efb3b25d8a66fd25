"""Rows by which an engine check communicates with the egress, which is another process."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from accounts.models import EngineAccount, EngineCheck

LIFETIME = timedelta(hours=1)
TOOL_OFFERED, TOOL_CALLED = "tool-offered", "tool-called"  # recorded with the headers
MOST_CALLS = 10  # an engine repeats a failed call


@dataclass(frozen=True, slots=True)
class CheckRef:
    """A check as plain data; `fitting`: the correct headers of its first model call, and what happened to its
    tool."""

    id: UUID
    conversation_id: UUID
    calls: int
    fitting: frozenset[str]


def open_check(*, engine: str) -> CheckRef:
    """Creates a check; deletes those more than an hour old."""
    EngineCheck.objects.filter(created_at__lte=Now() - LIFETIME).delete()
    return _ref(EngineCheck.objects.create(engine=engine, conversation_id=uuid4()))


def find_check(check_id: UUID) -> CheckRef | None:
    row = EngineCheck.objects.filter(id=check_id).first()
    return _ref(row) if row else None


def let_end(check_id: UUID) -> None:
    """The reply may end: the check has observed it while running."""
    EngineCheck.objects.filter(id=check_id).update(may_end=True)


def may_end(check_id: UUID) -> bool:
    return not EngineCheck.objects.filter(id=check_id, may_end=False).exists()


def note_tool(check_id: UUID, event: str) -> None:
    """Records TOOL_OFFERED or TOOL_CALLED, once."""
    with transaction.atomic():
        row = EngineCheck.objects.select_for_update().filter(id=check_id).first()
        if row is not None and event not in row.arrived:
            row.arrived = [*row.arrived, event]
            row.save(update_fields=["arrived"])


def note_call(*, message: str, conversation: str, engine_user_id: str) -> UUID | None:
    """The check that a model call belongs to, by its headers; None if it belongs to none.

    Also None if a header contradicts the others; the call is recorded all the same, as a finding.
    """
    with transaction.atomic():
        row = _running(_id(message), _id(conversation)).select_for_update().first()
        if row is None:
            return None
        fitting = [
            *(["x-message"] if _id(message) == row.id else []),
            *(["x-conversation"] if _id(conversation) == row.conversation_id else []),
            *(["x-engine-user"] if _is_operator(row.engine, engine_user_id) else []),
        ]
        if row.calls == 0:
            row.seen_at, row.arrived = Now(), [*row.arrived, *fitting]
        row.calls += 1
        row.save(update_fields=["seen_at", "arrived", "calls"])
    return row.id if len(fitting) == 3 else None


def _running(message_id: UUID | None, conversation_id: UUID | None) -> QuerySet[EngineCheck]:
    named = Q(id=message_id) | Q(conversation_id=conversation_id)
    return EngineCheck.objects.filter(named, created_at__gt=Now() - LIFETIME, calls__lt=MOST_CALLS)


def _is_operator(engine: str, engine_user_id: str) -> bool:
    operators = EngineAccount.objects.filter(engine=engine, tenant=None, user=None)
    return bool(engine_user_id) and operators.filter(engine_user_id=engine_user_id).exists()


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _ref(row: EngineCheck) -> CheckRef:
    return CheckRef(
        id=row.id, conversation_id=row.conversation_id, calls=row.calls, fitting=frozenset(row.arrived)
    )
