"""The rows by which an engine check and the egress, another process, tell each other of it."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from accounts.models import EngineAccount, EngineCheck

LIFETIME = timedelta(hours=1)
TOOL_OFFERED, TOOL_CALLED = "tool-offered", "tool-called"  # noted beside the headers
MOST_CALLS = 10  # an engine repeats a call that fails; nobody needs more


@dataclass(frozen=True, slots=True)
class CheckRef:
    """A check as plain data; `fitting` are the headers of its first model call that were right, and what was
    noted of its tool."""

    id: UUID
    conversation_id: UUID
    calls: int
    fitting: frozenset[str]


def open_check(*, engine: str) -> CheckRef:
    """A new check; those that are over an hour old go."""
    EngineCheck.objects.filter(created_at__lte=Now() - LIFETIME).delete()
    return _ref(EngineCheck.objects.create(engine=engine, conversation_id=uuid4()))


def find_check(check_id: UUID) -> CheckRef | None:
    row = EngineCheck.objects.filter(id=check_id).first()
    return _ref(row) if row else None


def let_end(check_id: UUID) -> None:
    """The reply may end now: the check has seen what it wanted to see while it runs."""
    EngineCheck.objects.filter(id=check_id).update(may_end=True)


def may_end(check_id: UUID) -> bool:
    return not EngineCheck.objects.filter(id=check_id, may_end=False).exists()


def note_tool(check_id: UUID, what: str) -> None:
    """Remembers TOOL_OFFERED or TOOL_CALLED, once."""
    with transaction.atomic():
        row = EngineCheck.objects.select_for_update().filter(id=check_id).first()
        if row is not None and what not in row.arrived:
            row.arrived = [*row.arrived, what]
            row.save(update_fields=["arrived"])


def note_call(*, message: str, conversation: str, engine_user_id: str) -> UUID | None:
    """The check that a model call belongs to, by its headers; None for one that belongs to none.

    None too where a header does not fit the others; that it came is noted all the same, as a finding.
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
