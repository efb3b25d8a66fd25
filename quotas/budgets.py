"""Sets, changes and removes a team's own budgets and limits, audited and effective immediately."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet, Subquery

from accounts.audit import services as audit
from accounts.models import ApiKey, Membership, Tenant, Workspace, WorkspaceMember
from accounts.policy import Action, expect, may
from accounts.principals import Principal, over_workspace
from accounts.teams.members import acting
from kit.errors import Conflict, InvalidInput, NotFound
from kit.fields import UNCHANGED
from quotas.counter_backfill import seed_all, seed_counters
from quotas.inputs import BudgetChange
from quotas.models import Budget, TenantPlan
from quotas.models.rules import MOST
from quotas.windows import known_zone

Level, Metric, Window = Budget.Level, Budget.Metric, Budget.Window
MOST_BUDGETS = 2000  # of a team
FITTING = {
    Metric.TOKENS: {Window.MINUTE, Window.DAY, Window.MONTH, Window.TOTAL},
    Metric.COST: {Window.DAY, Window.MONTH, Window.TOTAL},
    Metric.REQUESTS: {Window.MINUTE},
    Metric.TURNS: {Window.AT_ONCE},
}
WITHOUT_SOFT = {Window.MINUTE, Window.AT_ONCE}


@dataclass(frozen=True, slots=True)
class Rule:
    """The input of a budget. Without an id each subject has its own; the limit is in the metric's unit."""

    level: str
    metric: str
    window: str
    limit: int
    soft_percent: int | None = None
    workspace_id: UUID | None = None
    member_id: UUID | None = None
    api_key_id: UUID | None = None


CHANGEABLE = ("limit", "soft_percent")


def budgets_of(principal: Principal) -> QuerySet[Budget]:
    """Every budget of the team: its own, the operator's and the plan's."""
    expect(principal, Action.USAGE_TEAM)
    return _all_budgets(principal)


def budgets_in(principal: Principal) -> QuerySet[Budget]:
    """The budgets of the principal's workspace, its members and its keys."""
    expect(principal, Action.USAGE_EVERYBODY)
    keys = ApiKey.objects.filter(workspace=principal.workspace.id)
    return _all_budgets(principal).filter(Q(workspace=principal.workspace.id) | Q(api_key__in=keys))


def _all_budgets(principal: Principal) -> QuerySet[Budget]:
    plan = TenantPlan.objects.filter(tenant=principal.tenant.id).values("plan")[:1]
    applies = Q(tenant=principal.tenant.id) | Q(plan=Subquery(plan))
    return Budget.objects.filter(applies).select_related("workspace", "member", "api_key", "plan")


def set_budget(*, principal: Principal, rule: Rule) -> Budget:
    """InvalidInput for an invalid rule, NotFound for an unknown target, Conflict if the rule exists."""
    check_rule(rule)
    _expect_known(principal, rule)
    acting_principal, needed = _right_for(principal, rule)
    with acting(acting_principal, needed) as actor:
        own = Budget.objects.filter(tenant=actor.tenant.id, set_by=Budget.SetBy.TEAM)
        if own.count() >= MOST_BUDGETS:
            raise Conflict(f"A team can set at most {MOST_BUDGETS} budgets.")
        budget = _create(actor, rule)
        seed_counters(Tenant.objects.get(id=actor.tenant.id), budget)
        _record("budget.set", actor, budget, {"limit": [None, rule.limit]})
    return budget


def change_budget(*, principal: Principal, budget_id: UUID, change: BudgetChange) -> Budget:
    """Changes the limit or the soft limit; a `soft_percent` of None removes the warning.

    NotFound for a budget that is not the team's own, RoleTooLow, InvalidInput.
    """
    with _own_budget(principal, budget_id) as (actor, budget):
        changes = audit.change(budget, _columns(change), CHANGEABLE, clearable={"soft_percent"})
        if changes:
            check_rule(_rule_of(budget))
            budget.save(update_fields=CHANGEABLE)
            _record("budget.changed", actor, budget, changes)
    return budget


def _columns(change: BudgetChange) -> dict[str, Any]:
    given = {"limit": change.limit, "soft_percent": change.soft_percent}
    return {name: value for name, value in given.items() if value is not UNCHANGED}


def remove_budget(*, principal: Principal, budget_id: UUID) -> None:
    """Its usage stays in the ledger. NotFound for a budget that is not the team's own."""
    with _own_budget(principal, budget_id) as (actor, budget):
        _record("budget.removed", actor, budget, {"limit": [budget.limit, None]})
        budget.delete()


def change_time_zone(*, principal: Principal, time_zone: str) -> None:
    """Days and months use the zone from now on; the current ones are counted again."""
    zone = known_zone(time_zone)
    with acting(principal, Action.BUDGETS_TEAM) as actor:
        tenant = Tenant.objects.get(id=actor.tenant.id)
        before, tenant.time_zone = tenant.time_zone, zone
        if before == zone:
            return
        tenant.save(update_fields=["time_zone"])
        seed_all(tenant)
        audit.record(
            "tenant.changed",
            principal=actor,
            target=tenant.slug,
            changes={"time_zone": [before, zone]},
            of_tenant=True,
        )


def check_rule(rule: Rule) -> None:
    """InvalidInput per field."""
    wrong: dict[str, list[str]] = {}
    if rule.window not in FITTING.get(Metric(rule.metric), set()):
        fitting = ", ".join(sorted(FITTING[Metric(rule.metric)]))
        wrong["window"] = [f"A limit of {rule.metric} needs one of these windows: {fitting}."]
    if not 0 <= rule.limit <= MOST:
        wrong["limit"] = [f"The limit must be between 0 and {MOST:,}."]
    if rule.soft_percent is not None and not 1 <= rule.soft_percent <= 99:
        wrong["soft_percent"] = ["The warning must be between 1 and 99% of the limit."]
    if rule.soft_percent is not None and rule.window in WITHOUT_SOFT:
        wrong["soft_percent"] = ["Limits per minute and limits of concurrent replies have no warning."]
    wrong |= _misplaced(rule)
    if wrong:
        raise InvalidInput(**wrong)


def _misplaced(rule: Rule) -> dict[str, list[str]]:
    """Errors for targets that do not match the rule's level."""
    allowed = {
        Level.TENANT: set(),
        Level.WORKSPACE: {"workspace"},
        Level.MEMBER: {"workspace", "member"},
        Level.API_KEY: {"api_key"},
    }[Level(rule.level)]
    named = {"workspace": rule.workspace_id, "member": rule.member_id, "api_key": rule.api_key_id}
    return {
        name: [f"A budget of level {rule.level} takes no {name}."]
        for name, value in named.items()
        if value is not None and name not in allowed
    }


def _right_for(principal: Principal, rule: Rule) -> tuple[Principal, Action]:
    """The principal in the workspace concerned, and the action that the rule requires.

    A workspace's managers set the budgets of its members and its own keys; all others are the team's.
    NotFound for a workspace of which the principal is neither a member nor an overseer.
    """
    slug = _workspace_of(rule)
    if slug is None:
        return principal, Action.BUDGETS_TEAM
    return over_workspace(principal, slug), Action.BUDGETS_WORKSPACE


def _workspace_of(rule: Rule) -> str | None:
    """The slug of the workspace whose managers may set the rule; None for the team's rules."""
    if rule.level == Level.MEMBER and rule.workspace_id is not None:
        rows = Workspace.objects.filter(id=rule.workspace_id)
    elif rule.api_key_id is not None:
        rows = Workspace.objects.filter(api_keys=rule.api_key_id)
    else:
        return None
    return rows.values_list("slug", flat=True).first()


def _expect_known(principal: Principal, rule: Rule) -> None:
    """NotFound for a workspace, member or key that does not belong to the team."""
    tenant = principal.tenant.id
    known = [
        rule.workspace_id is None
        or Workspace.objects.existing().filter(id=rule.workspace_id, tenant=tenant).exists(),
        rule.member_id is None or Membership.objects.filter(user=rule.member_id, tenant=tenant).exists(),
        rule.member_id is None
        or rule.workspace_id is None
        or WorkspaceMember.objects.filter(user=rule.member_id, workspace=rule.workspace_id).exists(),
        rule.api_key_id is None
        or ApiKey.objects.unrevoked().filter(id=rule.api_key_id, tenant=tenant).exists(),
    ]
    if not all(known):
        raise NotFound


def _create(actor: Principal, rule: Rule) -> Budget:
    try:
        with transaction.atomic():
            return Budget.objects.create(
                tenant_id=actor.tenant.id,
                set_by=Budget.SetBy.TEAM,
                level=rule.level,
                metric=rule.metric,
                window=rule.window,
                limit=rule.limit,
                soft_percent=rule.soft_percent,
                workspace_id=rule.workspace_id,
                member_id=rule.member_id,
                api_key_id=rule.api_key_id,
            )
    except IntegrityError as exc:
        raise Conflict("This budget already exists. Change its limit instead.") from exc


@contextmanager
def _own_budget(principal: Principal, budget_id: UUID) -> Iterator[tuple[Principal, Budget]]:
    """The team's own budget, locked, if the principal may change it; NotFound for an operator's."""
    own = Budget.objects.filter(tenant=principal.tenant.id, set_by=Budget.SetBy.TEAM, id=budget_id)
    found = own.first()
    if found is None:
        raise NotFound
    acting_principal, needed = _right_for(principal, _rule_of(found))
    if needed == Action.BUDGETS_TEAM and not may(principal, Action.USAGE_TEAM):
        raise NotFound  # the principal cannot see it either
    with acting(acting_principal, needed) as actor:
        related = own.select_related("workspace", "member", "api_key")
        budget = related.select_for_update(of=("self",)).first()
        if budget is None:
            raise NotFound
        yield actor, budget


def _rule_of(budget: Budget) -> Rule:
    return Rule(
        level=budget.level,
        metric=budget.metric,
        window=budget.window,
        limit=budget.limit,
        soft_percent=budget.soft_percent,
        workspace_id=budget.workspace_id,
        member_id=budget.member_id,
        api_key_id=budget.api_key_id,
    )


def _record(action: str, actor: Principal, budget: Budget, changes: audit.Changes) -> None:
    audit.record(
        action,
        principal=actor,
        target=label_of(budget),
        changes=changes,
        workspace_id=budget.workspace_id,
        of_tenant=budget.workspace_id is None,
    )


def label_of(budget: Budget) -> str:
    """Target, metric and window: `member bob@example.com in sales: tokens, a month`."""
    who = {
        Level.TENANT: "the team",
        Level.WORKSPACE: f"workspace {budget.workspace.slug}" if budget.workspace else "each workspace",
        Level.MEMBER: f"member {budget.member.email}" if budget.member else "each member",
        Level.API_KEY: f"key {budget.api_key.name}" if budget.api_key else "each API key",
    }[Level(budget.level)]
    where = f" in {budget.workspace.slug}" if budget.level == Level.MEMBER and budget.workspace else ""
    return f"{who}{where}: {budget.metric}, {budget.get_window_display().lower()}"
