"""Usage, read from the daily sums and never from the ledger's lines."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from accounts.models import ApiKey, Tenant, User, Workspace
from kit.errors import InvalidInput
from kit.tenancy import TenantRef
from quotas.models import UsageDay
from quotas.windows import day_at

MOST_DAYS = 366
MOST_ROWS = 200  # of a breakdown; the rest is summed in one row
COLUMNS = {
    "tenant": "tenant_id",
    "day": "day",
    "workspace": "workspace_id",
    "member": "user_id",
    "api_key": "api_key_id",
    "model": "model",
    "purpose": "purpose",
}
SUMS = (
    "calls",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost",
    "unpriced_calls",
    "flagged_calls",
)


@dataclass(frozen=True, slots=True)
class Slice:
    """The selected usage: between two days (inclusive), and whose; without a tenant, that of all."""

    tenant: TenantRef | None
    first: date
    last: date
    workspace_id: UUID | None = None
    user_id: UUID | None = None
    api_key_id: UUID | None = None
    model: str = ""
    purpose: str = ""

    @property
    def filters(self) -> Q:
        """A filter for both the daily sums and the ledger's lines."""
        columns = {
            "tenant_id": self.tenant.id if self.tenant else None,
            "workspace_id": self.workspace_id,
            "user_id": self.user_id,
            "api_key_id": self.api_key_id,
            "model": self.model,
            "purpose": self.purpose,
        }
        given = {name: value for name, value in columns.items() if value}
        return Q(day__gte=self.first, day__lte=self.last, **given)


@dataclass(frozen=True, slots=True)
class Used:
    """Sums of tokens, of cost in millionths of the currency, and of calls: all, unpriced, flagged."""

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    unpriced_calls: int = 0
    flagged_calls: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def without(self, parts: Iterable["Used"]) -> "Used":
        """The sums minus these parts."""
        left = [getattr(self, name) for name in SUMS]
        for part in parts:
            left = [amount - getattr(part, name) for amount, name in zip(left, SUMS, strict=True)]
        return Used(*left)

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in SUMS} | {"total_tokens": self.tokens}


@dataclass(slots=True)
class Group:
    """One row of a breakdown; `key` is None for calls without one, such as an API key."""

    key: Any
    label: str
    used: Used


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The groups, most tokens first (days in order), the sum of the rest, and the total."""

    groups: list[Group]
    others: Used | None
    total: Used


def slice_of(
    tenant: TenantRef | None,
    first: date | None,
    last: date | None,
    *,
    workspace_id: UUID | None = None,
    user_id: UUID | None = None,
    api_key_id: UUID | None = None,
    model: str = "",
    purpose: str = "",
) -> Slice:
    """The current month if no days are given. InvalidInput for days in the wrong order, or too many."""
    today = day_at(timezone.now(), tenant.time_zone if tenant else "UTC")
    last = last or (today if first is None else max(today, first))
    first = first or last.replace(day=1)
    if first > last:
        raise InvalidInput(since=["The first day must not be after the last."])
    if (last - first).days >= MOST_DAYS:
        raise InvalidInput(since=[f"Choose at most {MOST_DAYS} days."])
    return Slice(
        tenant=tenant,
        first=first,
        last=last,
        workspace_id=workspace_id,
        user_id=user_id,
        api_key_id=api_key_id,
        model=model,
        purpose=purpose,
    )


def break_down(wanted: Slice, by: str) -> Breakdown:
    """Three reads: the sums by group, the total, and the names of people, workspaces or keys."""
    column = COLUMNS[by]
    days = UsageDay.objects.filter(wanted.filters).order_by()
    sums = {f"all_{name}": Sum(name) for name in SUMS}
    rows = days.values_list(column).annotate(**sums)
    if by == "day":
        rows = rows.order_by(column)
    else:
        rows = rows.order_by((F("all_input_tokens") + F("all_output_tokens")).desc(), column)[:MOST_ROWS]
    groups = [Group(key, str(key), _used(amounts)) for key, *amounts in rows]
    total = _used(days.aggregate(**sums).values())
    others = total.without(group.used for group in groups)
    if by == "day":
        groups = _every_day(wanted, groups)
    _name(groups, by)
    return Breakdown(groups=groups, others=others if others.calls else None, total=total)


def _used(amounts: Iterable[Any]) -> Used:
    return Used(*(int(amount or 0) for amount in amounts))


def _every_day(wanted: Slice, groups: list[Group]) -> list[Group]:
    """Adds the days without usage."""
    known = {group.key: group for group in groups}
    number = (wanted.last - wanted.first).days + 1
    days = [wanted.first + timedelta(days=ahead) for ahead in range(number)]
    return [known.get(day) or Group(day, str(day), Used()) for day in days]


def _name(groups: list[Group], by: str) -> None:
    names = names_of(by, {group.key for group in groups if group.key is not None})
    for group in groups:
        if by in NAMED:
            group.label = names.get(group.key, str(group.key)[:8]) if group.key else "No API key"


def names_of(by: str, ids: Iterable[Any]) -> dict[Any, str]:
    """Names by id; deleted ones are missing."""
    if by not in NAMED:
        return {}
    rows, column = NAMED[by]
    found: QuerySet[Any] = rows.filter(id__in=list(ids))
    return dict(found.values_list("id", column))


NAMED: dict[str, tuple[Any, str]] = {
    "tenant": (Tenant.objects, "slug"),
    "member": (User.objects, "email"),
    "workspace": (Workspace.objects, "slug"),
    "api_key": (ApiKey.objects, "name"),
}


def used_this_month(tenant: TenantRef, workspace_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Tokens that each of the workspaces has used in the tenant's calendar month; one read."""
    first = day_at(timezone.now(), tenant.time_zone).replace(day=1)
    days = UsageDay.objects.filter(workspace_id__in=list(workspace_ids), day__gte=first)
    sums = days.values_list("workspace_id").annotate(tokens=Sum(F("input_tokens") + F("output_tokens")))
    return dict(sums.order_by())
