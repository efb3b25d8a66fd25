"""What clients send to set or change a budget and to read usage, by REST or by a form."""

from dataclasses import dataclass, field
from datetime import date
from typing import Annotated
from uuid import UUID

from kit.fields import UNCHANGED, Choice, Help, Integer, KnownSlug, Nullable, String, Unchanged
from quotas.models import Budget, UsageRecord
from quotas.models.rules import MOST
from quotas.usage import COLUMNS
from quotas.windows import LONGEST_ZONE

LONGEST_MODEL = 100  # characters of its name
GROUPS = [name for name in COLUMNS if name != "tenant"]

Limit = Annotated[int, Integer(0, MOST)]
SoftPercent = Annotated[int, Integer(1, 99), Nullable()]
MemberLevel = Annotated[str, Choice([Budget.Level.MEMBER.value, Budget.Level.API_KEY.value])]
Level = Annotated[str, Choice(Budget.Level.choices)]
Metric = Annotated[str, Choice(Budget.Metric.choices)]
Window = Annotated[str, Choice(Budget.Window.choices)]
Id = Annotated[UUID, Nullable()]
Workspace = Annotated[str, KnownSlug(40)]


@dataclass(frozen=True, kw_only=True)
class MemberBudget:
    """The budgets that a workspace's managers may set: for a member or key, or for each member."""

    limit: Limit
    soft_percent: SoftPercent | None = None
    level: MemberLevel = Budget.Level.MEMBER.value
    metric: Metric = Budget.Metric.TOKENS.value
    window: Window = Budget.Window.MONTH.value
    member: Id | None = None
    api_key: Id | None = None


@dataclass(frozen=True, kw_only=True)
class BudgetInput(MemberBudget):
    """The budgets that owners and admins may set: for the team, or for a workspace, member or key."""

    level: Level = field()  # required here
    workspace: Annotated[Workspace, Nullable(), Help("Empty: applies to each")] | None = None


@dataclass(frozen=True, kw_only=True)
class BudgetChange:
    limit: Limit | None = None
    soft_percent: SoftPercent | Unchanged | None = UNCHANGED


@dataclass(frozen=True)
class SettingsChange:
    time_zone: Annotated[str, String(LONGEST_ZONE), Help("IANA name; days and months follow it")]


@dataclass(frozen=True, kw_only=True)
class UsageFilter:
    since: Annotated[date, Help("First day; default: the first day of the month")] | None = None
    until: Annotated[date, Help("Last day; default: today")] | None = None
    mine: Annotated[bool, Help("Only your own usage")] = False
    member: UUID | None = None
    api_key: UUID | None = None
    model: Annotated[str, String(LONGEST_MODEL)] | None = None
    purpose: Annotated[str, Choice(UsageRecord.Purpose.choices)] | None = None


@dataclass(frozen=True, kw_only=True)
class UsageQuery(UsageFilter):
    by: Annotated[str, Choice(GROUPS), Help("Breakdown")] = "day"


@dataclass(frozen=True, kw_only=True)
class TeamUsageFilter(UsageFilter):
    workspace: Annotated[Workspace, Help("Only this workspace")] | None = None


@dataclass(frozen=True, kw_only=True)
class TeamUsageQuery(TeamUsageFilter, UsageQuery):
    pass
