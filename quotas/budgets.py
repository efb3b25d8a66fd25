"""A team sets, changes and removes budgets and limits of its own; each act is audited and counts at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet, Subquery

from accounts.audit import services as audit
from accounts.models import ApiKey, Membership, Tenant, Workspace, WorkspaceMember
from accounts.policy import Action, expect, may
from accounts.principals import Principal, over_workspace
from accounts.teams.members import acting
from kit.errors import Conflict, InvalidInput, NotFound
from quotas.counter_backfill import seed_all, seed_counters
from quotas.models import Budget, TenantPlan
from quotas.models.rules import MOST
from quotas.windows import known_zone

Level, Metric, Window = Budget.Level, Budget.Metric, Budget.Window
MOST_BUDGETS = 2000  # a team's own
FITTING = {
    Metric.TOKENS: {Window.MINUTE, Window.DAY, Window.MONTH, Window.TOTAL},
    Metric.COST: {Window.DAY, Window.MONTH, Window.TOTAL},
    Metric.REQUESTS: {Window.MINUTE},
    Metric.TURNS: {Window.AT_ONCE},
}
WITHOUT_SOFT = {Window.MINUTE, Window.AT_ONCE}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a budget is to say. Ids are empty for each one's own; the limit is in the metric's unit."""

    level: str
    metric: str
    window: str
    limit: int
    soft_percent: int | None = None
    workspace_id: UUID | None = None
    member_id: UUID | None = None
    api_key_id: UUID | None = None


def budgets_of(principal: Principal) -> QuerySet[Budget]:
    """Every budget of the team: its own, the operator's and its plan's."""
    expect(principal, Action.USAGE_TEAM)
    return _all_budgets(principal)


def budgets_in(place: Principal) -> QuerySet[Budget]:
    """Those that are made for the workspace and what is in it."""
    expect(place, Action.USAGE_EVERYBODY)
    bound = ApiKey.objects.filter(workspace=place.workspace.id)
    return _all_budgets(place).filter(Q(workspace=place.workspace.id) | Q(api_key__in=bound))


def _all_budgets(principal: Principal) -> QuerySet[Budget]:
    given = TenantPlan.objects.filter(tenant=principal.tenant.id).values("plan")[:1]
    mine = Q(tenant=principal.tenant.id) | Q(plan=Subquery(given))
    return Budget.objects.filter(mine).select_related("workspace", "member", "api_key", "plan")


def set_budget(*, principal: Principal, rule: Rule) -> Budget:
    """InvalidInput for a rule that makes no sense, NotFound for whom it names, Conflict for a second one."""
    check_rule(rule)
    _expect_known(principal, rule)
    place, needed = _right_for(principal, rule)
    with acting(place, needed) as actor:
        own = Budget.objects.filter(tenant=actor.tenant.id, set_by=Budget.SetBy.TEAM)
        if own.count() >= MOST_BUDGETS:
            raise Conflict(f"A team can set at most {MOST_BUDGETS} budgets.")
        budget = _create(actor, rule)
        seed_counters(Tenant.objects.get(id=actor.tenant.id), budget)
        _note("budget.set", actor, budget, {"limit": [None, rule.limit]})
    return budget


def change_budget(*, principal: Principal, budget_id: UUID, **wanted: int | None) -> Budget:
    """Another `limit` or `soft_percent` (None: nobody is told); what is left out stays.

    NotFound for one that is not the team's own, RoleTooLow, InvalidInput.
    """
    with _own_budget(principal, budget_id) as (actor, budget):
        before = _rule_of(budget)
        rule = replace(before, **wanted)  # type: ignore[arg-type]  # a limit is never None
        check_rule(rule)
        budget.limit, budget.soft_percent = rule.limit, rule.soft_percent
        budget.save(update_fields=["limit", "soft_percent"])
        figures = {name: [getattr(before, name), getattr(rule, name)] for name in ("limit", "soft_percent")}
        changes = {name: pair for name, pair in figures.items() if pair[0] != pair[1]}
        if changes:
            _note("budget.changed", actor, budget, changes)
    return budget


def remove_budget(*, principal: Principal, budget_id: UUID) -> None:
    """What it counted stays in the ledger. NotFound for one that is not the team's own."""
    with _own_budget(principal, budget_id) as (actor, budget):
        _note("budget.removed", actor, budget, {"limit": [budget.limit, None]})
        budget.delete()


def change_time_zone(*, principal: Principal, time_zone: str) -> None:
    """From now on days and months are the zone's; what was used today and this month is counted over."""
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
    """Whom the rule names although its level is not theirs."""
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
    """Who acts where, and what that takes.

    A workspace's managers set what its members and its own keys may use in it; the rest is the team's.
    NotFound for a workspace that the principal neither is in nor oversees.
    """
    slug = _workspace_of(rule)
    if slug is None:
        return principal, Action.BUDGETS_TEAM
    return over_workspace(principal, slug), Action.BUDGETS_WORKSPACE


def _workspace_of(rule: Rule) -> str | None:
    """The slug of the workspace whose own matter the rule is."""
    if rule.level == Level.MEMBER and rule.workspace_id is not None:
        rows = Workspace.objects.filter(id=rule.workspace_id)
    elif rule.api_key_id is not None:
        rows = Workspace.objects.filter(api_keys=rule.api_key_id)
    else:
        return None
    return rows.values_list("slug", flat=True).first()


def _expect_known(principal: Principal, rule: Rule) -> None:
    """NotFound for a workspace, member or key that is not of the team."""
    tenant = principal.tenant.id
    known = [
        rule.workspace_id is None
        or Workspace.objects.filter(id=rule.workspace_id, tenant=tenant, deleted_at=None).exists(),
        rule.member_id is None or Membership.objects.filter(user=rule.member_id, tenant=tenant).exists(),
        rule.member_id is None
        or rule.workspace_id is None
        or WorkspaceMember.objects.filter(user=rule.member_id, workspace=rule.workspace_id).exists(),
        rule.api_key_id is None
        or ApiKey.objects.filter(id=rule.api_key_id, tenant=tenant, revoked_at=None).exists(),
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
    """The team's own budget, locked, for whom may change it; an operator's is not to be found here."""
    own = Budget.objects.filter(tenant=principal.tenant.id, set_by=Budget.SetBy.TEAM)
    budget = own.select_related("workspace", "member", "api_key").filter(id=budget_id).first()
    if budget is None:
        raise NotFound
    place, needed = _right_for(principal, _rule_of(budget))
    if needed == Action.BUDGETS_TEAM and not may(principal, Action.USAGE_TEAM):
        raise NotFound  # one that the caller cannot see either
    with acting(place, needed) as actor:
        if not own.select_for_update().filter(id=budget_id).exists():
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


def _note(action: str, actor: Principal, budget: Budget, changes: audit.Changes) -> None:
    audit.record(
        action,
        principal=actor,
        target=label_of(budget),
        changes=changes,
        workspace_id=budget.workspace_id,
        of_tenant=budget.workspace_id is None,
    )


def label_of(budget: Budget) -> str:
    """Whose budget it is, of what and when: `member bob@example.com in sales: tokens a month`."""
    who = {
        Level.TENANT: "the team",
        Level.WORKSPACE: f"workspace {budget.workspace.slug}" if budget.workspace else "each workspace",
        Level.MEMBER: f"member {budget.member.email}" if budget.member else "each member",
        Level.API_KEY: f"key {budget.api_key.name}" if budget.api_key else "each API key",
    }[Level(budget.level)]
    where = f" in {budget.workspace.slug}" if budget.level == Level.MEMBER and budget.workspace else ""
    return f"{who}{where}: {budget.metric}, {budget.get_window_display().lower()}"
