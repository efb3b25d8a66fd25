"""Operators see every tenant's limits and usage, and set plans, budgets, prices and grants."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEntry, Tenant
from accounts.tests.cast import Cast
from accounts.tests.operators import address, desk, fields_of, queries_of
from quotas.errors import QuotaExceeded
from quotas.models import Budget, BudgetWindow, Plan, Price, Reservation, TenantPlan, UsageDay, UsageRecord
from quotas.tests.ledger import limit_to, store_usage
from quotas.tests.test_levels import begin

pytestmark = pytest.mark.django_db
RULE = {"level": "workspace", "metric": "tokens", "window": "month", "limit": "50", "soft_percent": ""}


def tenant(slug: str = "acme") -> Tenant:
    return Tenant.objects.get(slug=slug)


def sent_plan(client: Any, plan: Plan, **changed: str) -> dict[str, Any]:
    page = client.get(address(Plan, "change", plan.pk))
    return {**fields_of(page), **{f"budgets-0-{name}": value for name, value in changed.items()}}


def test_a_plans_budget_changes_for_every_tenant_and_is_audited(cast: Cast) -> None:
    client, plan = desk(), Plan.objects.get()
    store_usage(cast.bob, tokens=30)
    answer = client.post(address(Plan, "change", plan.pk), sent_plan(client, plan, limit="50"))
    assert answer.status_code == 302
    with pytest.raises(QuotaExceeded) as refusal:
        begin(cast.bob)
    assert (refusal.value.details["limit"], refusal.value.details["used"]) == (50, 30)
    begin(cast.charlie)
    assert AuditEntry.objects.get(action="budget.changed").changes["limit"] == [1_000_000, 50]


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": "-1"},
        {"limit": "ten"},
        {"limit": ""},
        {"limit": str(10**16)},
        {"limit": str(10**30)},
        {"metric": "requests"},
        {"metric": "turns", "window": "day"},
        {"soft_percent": "100"},
        {"soft_percent": "0"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(cast: Cast, wrong: dict[str, str]) -> None:
    client, plan = desk(), Plan.objects.get()
    answer = client.post(address(Plan, "change", plan.pk), sent_plan(client, plan, **wrong))
    assert answer.status_code == 200
    assert Budget.objects.get().limit == 1_000_000


def test_a_plan_is_given_to_a_tenant_and_counts_what_was_used(cast: Cast) -> None:
    store_usage(cast.bob, tokens=30)
    small = Plan.objects.create(name="Small")
    Budget.objects.create(plan=small, set_by="operator", level="tenant", limit=40)
    client, given = desk(), tenant().plan_given
    client.post(address(TenantPlan, "change", given.pk), {"plan": str(small.pk)})
    with pytest.raises(QuotaExceeded) as refusal:
        begin(cast.dana)
    assert (refusal.value.details["level"], refusal.value.details["used"]) == ("tenant", 30)
    assert AuditEntry.objects.get(action="tenant_plan.changed").tenant == tenant()


def test_a_plan_that_tenants_have_is_not_deleted(cast: Cast) -> None:
    assert desk().post(address(Plan, "delete", Plan.objects.get().pk), {"post": "yes"}).status_code == 403


def test_an_operators_budget_for_a_tenant_overrides_its_plans(cast: Cast) -> None:
    sales = cast.bob.principal.workspace.id
    client = desk()
    answer = client.post(
        address(Budget, "add"), {**RULE, "tenant": str(tenant().pk), "workspace": str(sales), "member": ""}
    )
    assert answer.status_code == 302
    budget = Budget.objects.get(tenant__isnull=False)
    assert (budget.set_by, budget.limit) == ("operator", 50)
    with pytest.raises(QuotaExceeded):
        begin(cast.bob, 40, 40)
    page = address(Budget, "change", budget.pk)
    client.post(page, {**fields_of(client.get(page)), "limit": "5000", "level": "tenant"})
    changed = Budget.objects.get(pk=budget.pk)
    assert (changed.limit, changed.level) == (5000, "workspace")
    entry = AuditEntry.objects.get(action="budget.changed")
    assert (entry.changes, entry.workspace.slug) == ({"limit": [50, 5000]}, "sales")


@pytest.mark.parametrize(
    "wrong", [{"tenant": ""}, {"window": "minute", "metric": "cost"}, {"level": "tenant"}]
)
def test_an_invalid_budget_of_a_tenant_is_refused(cast: Cast, wrong: dict[str, str]) -> None:
    sent = {**RULE, "tenant": str(tenant().pk), "workspace": str(cast.bob.principal.workspace.id), **wrong}
    assert desk().post(address(Budget, "add"), sent).status_code == 200
    assert not Budget.objects.filter(tenant__isnull=False).exists()


def test_a_workspace_of_another_tenant_is_refused(cast: Cast) -> None:
    sent = {**RULE, "tenant": str(tenant("globex").pk), "workspace": str(cast.bob.principal.workspace.id)}
    assert "another tenant" in desk().post(address(Budget, "add"), sent).content.decode()


def test_a_teams_own_budget_is_read_only(cast: Cast) -> None:
    budget = limit_to(cast.alice, 100, set_by="team", level="tenant")
    client = desk()
    assert client.post(address(Budget, "change", budget.pk), {"limit": "9"}).status_code == 403
    assert client.post(address(Budget, "delete", budget.pk), {"post": "yes"}).status_code == 403


def test_extra_is_granted_for_a_window_and_audited(cast: Cast) -> None:
    limit_to(cast.bob, 40)
    begin(cast.bob)
    with pytest.raises(QuotaExceeded):
        begin(cast.bob)
    client, counter = desk(), BudgetWindow.objects.get()
    page = address(BudgetWindow, "change", counter.pk)
    assert client.post(page, {"granted": "-5"}).status_code == 200
    client.post(page, {"granted": "100", "used": "0", "reserved": "0"})
    begin(cast.bob)
    counter.refresh_from_db()
    assert (counter.granted, counter.reserved) == (100, 60)
    entry = AuditEntry.objects.get(action="budget_window.changed")
    assert (entry.changes, entry.tenant) == ({"granted": [0, 100]}, tenant())


def test_a_price_is_added_but_not_changed_once_it_is_in_force(cast: Cast) -> None:
    client = desk()
    now = timezone.now()
    sent = {
        "provider": "openai",
        "model": "gpt-4o",
        "input": "2500000",
        "output": "10000000",
        "effective_from_0": f"{now:%Y-%m-%d}",
        "effective_from_1": "00:00:00",
    }
    assert client.post(address(Price, "add"), {**sent, "input": "-1"}).status_code == 200
    assert client.post(address(Price, "add"), {**sent, "provider": ""}).status_code == 200
    assert client.post(address(Price, "add"), sent).status_code == 302
    price = Price.objects.get(model="gpt-4o")
    assert client.post(address(Price, "change", price.pk), {**sent, "input": "1"}).status_code == 403
    assert client.post(address(Price, "delete", price.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", [Reservation, UsageRecord, UsageDay])
def test_the_ledger_is_read_only(cast: Cast, model: Any) -> None:
    store_usage(cast.bob)
    client, row = desk(), model.objects.get()
    assert client.post(address(model, "change", row.pk), {"input_tokens": "0"}).status_code == 403
    assert client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert client.get(address(model, "add")).status_code == 403
    assert "bob@example.com" in client.get(address(model, "change", row.pk)).content.decode()


@pytest.mark.parametrize("by", ["tenant", "model", "purpose", "nonsense"])
def test_the_summary_shows_the_usage_of_all_tenants(cast: Cast, by: str) -> None:
    store_usage(cast.bob, tokens=1234)
    store_usage(cast.charlie, tokens=4321)
    page = desk().get("/admin/quotas/usageday/summary/", {"by": by, "since": "nonsense"}).content.decode()
    assert "5,555 tokens" in page
    assert ("globex" in page) == (by in {"tenant", "nonsense"})


def test_the_ledger_is_searched_by_turn_person_and_workspace(cast: Cast) -> None:
    bobs, danas = store_usage(cast.bob), store_usage(cast.dana)
    client = desk()
    for query, found in {str(bobs.turn_id): bobs, "dana": danas, "sales": bobs, "acme ops": danas}.items():
        page = client.get(address(UsageRecord, "changelist"), {"q": query})
        assert list(page.context["cl"].result_list) == [found], query


@pytest.mark.parametrize("model", [Budget, BudgetWindow, Reservation, UsageRecord, UsageDay, TenantPlan])
def test_longer_lists_take_no_more_queries(cast: Cast, model: Any) -> None:
    store_usage(cast.bob)
    limit_to(cast.bob, 10**6)
    client = desk()
    before = len(queries_of(client, address(model, "changelist")))
    for person in (cast.bob, cast.dana, cast.charlie):
        store_usage(person)
        limit_to(person, 10**6, level="member", member_id=person.principal.user_id)
    assert len(queries_of(client, address(model, "changelist"))) == before


def test_a_duplicate_budget_or_price_is_a_form_error(cast: Cast) -> None:
    client = desk()
    sent = {**RULE, "tenant": str(tenant().pk), "workspace": "", "member": ""}
    assert client.post(address(Budget, "add"), sent).status_code == 302
    assert "This budget already exists" in client.post(address(Budget, "add"), sent).content.decode()
    plan = Plan.objects.get()
    twice = {
        **sent_plan(client, plan),
        "budgets-TOTAL_FORMS": "3",
        **{f"budgets-{n}-{name}": value for n in (1, 2) for name, value in RULE.items()},
        **{f"budgets-{n}-window": "day" for n in (1, 2)},
    }
    answer = client.post(address(Plan, "change", plan.pk), twice)
    assert "This budget already exists" in answer.content.decode()
    price = {"provider": "x", "model": "y", "input": "1", "output": "1"}
    moment = {"effective_from_0": "2026-01-01", "effective_from_1": "00:00:00"}
    assert client.post(address(Price, "add"), price | moment).status_code == 302
    again = client.post(address(Price, "add"), price | moment)
    assert "A price with this start time" in again.content.decode()
