"""A team sets its own budgets: who may set which, invalid rules, and that they apply immediately."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey, AuditEntry, Membership, WorkspaceMember
from accounts.tests.cast import Cast, Person
from quotas.errors import QuotaExceeded
from quotas.ledger_audit import check_ledger
from quotas.limits import limits_of
from quotas.models import Budget, BudgetWindow
from quotas.planned_calls import Payer
from quotas.tests.ledger import limit_to, store_usage
from quotas.tests.test_levels import begin

pytestmark = pytest.mark.django_db


def ask(person: Person, method: str, path: str, body: Any = None) -> Any:
    return Client().generic(
        method,
        f"/v1/{path}",
        data=b"" if body is None else json.dumps(body),
        content_type="application/json",
        headers=person.headers,
    )


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def manage(person: Person) -> None:
    WorkspaceMember.objects.filter(user=person.principal.user_id).update(role="manager")


def key_of(person: Person, *, bound: bool) -> ApiKey:
    principal = person.principal
    return ApiKey.objects.create(
        tenant_id=principal.tenant.id,
        workspace_id=principal.workspace.id if bound else None,
        owner_id=principal.user_id,
        membership_id=principal.membership_id,
        name="Nightly",
        prefix=uuid4().hex[:8],
        scopes=["chat"],
    )


def test_setting_changing_and_removing_a_budget_is_audited(cast: Cast) -> None:
    made = ask(cast.alice, "POST", "budgets", {"level": "tenant", "limit": 500, "soft_percent": 50})
    assert made.status_code == 201
    data = made.json()
    assert (data["set_by"], data["metric"], data["window"], data["limit"]) == ("team", "tokens", "month", 500)
    listed = ask(cast.alice, "GET", "budgets").json()["data"]
    assert [(row["set_by"], row["plan"]) for row in listed] == [("operator", "Standard"), ("team", None)]
    changed = ask(cast.alice, "PATCH", f"budgets/{data['id']}", {"limit": 20})
    assert (changed.json()["limit"], changed.json()["soft_percent"]) == (20, 50)
    with pytest.raises(QuotaExceeded):
        begin(cast.bob)
    assert ask(cast.alice, "DELETE", f"budgets/{data['id']}").status_code == 204
    begin(cast.bob)
    entries = AuditEntry.objects.filter(action__startswith="budget.").order_by("at")
    assert [(entry.action, entry.changes.get("limit")) for entry in entries] == [
        ("budget.set", [None, 500]),
        ("budget.changed", [500, 20]),
        ("budget.removed", [20, None]),
    ]
    assert entries[0].target == "the team: tokens, month"


def test_an_unchanged_budget_is_neither_saved_nor_audited(cast: Cast) -> None:
    body = {"level": "tenant", "limit": 500, "soft_percent": 50}
    budget_id = ask(cast.alice, "POST", "budgets", body).json()["id"]
    with CaptureQueriesContext(connection) as captured:
        answer = ask(cast.alice, "PATCH", f"budgets/{budget_id}", {"limit": 500, "soft_percent": 50})
    assert (answer.status_code, answer.json()["limit"]) == (200, 500)
    assert not [query for query in captured if query["sql"].startswith('UPDATE "quotas_budget"')]
    assert not AuditEntry.objects.filter(action="budget.changed").exists()


def test_a_soft_limit_can_be_removed_alone(cast: Cast) -> None:
    body = {"level": "tenant", "limit": 500, "soft_percent": 50}
    budget_id = ask(cast.alice, "POST", "budgets", body).json()["id"]
    changed = ask(cast.alice, "PATCH", f"budgets/{budget_id}", {"soft_percent": None}).json()
    assert (changed["limit"], changed["soft_percent"]) == (500, None)
    assert AuditEntry.objects.get(action="budget.changed").changes == {"soft_percent": [50, None]}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"limit": -1}, "limit"),
        ({"limit": 10**16}, "limit"),
        ({"limit": "much"}, "limit"),
        ({"limit": None}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"metric": "cost", "window": "minute"}, "window"),
        ({"metric": "requests", "window": "month"}, "window"),
        ({"metric": "turns", "window": "day"}, "window"),
        ({"metric": "wishes"}, "metric"),
        ({"level": "planet"}, "level"),
        ({"soft_percent": 0}, "soft_percent"),
        ({"soft_percent": 100}, "soft_percent"),
        ({"window": "minute", "soft_percent": 50}, "soft_percent"),
        ({"level": "tenant", "workspace": "sales"}, "workspace"),
        ({"level": "workspace", "member": str(uuid4())}, "member"),
        ({"level": "member", "api_key": str(uuid4())}, "api_key"),
        ({"member": "bob"}, "member"),
    ],
)
def test_an_invalid_rule_is_refused_by_field(cast: Cast, wrong: dict[str, Any], field: str) -> None:
    answer = ask(cast.alice, "POST", "budgets", {"level": "workspace", "limit": 10, **wrong})
    assert code_of(answer) == (422, "invalid_input")
    assert field in answer.json()["error"]["details"]
    assert not Budget.objects.filter(set_by="team").exists()


def test_a_second_budget_of_the_same_rule_is_a_conflict(cast: Cast) -> None:
    rule = {"level": "member", "limit": 10}
    assert ask(cast.alice, "POST", "budgets", rule).status_code == 201
    assert code_of(ask(cast.alice, "POST", "budgets", {**rule, "limit": 20})) == (409, "conflict")


def test_unknown_targets_of_a_budget_are_not_found(cast: Cast) -> None:
    charlies = key_of(cast.charlie, bound=False)
    for rule in (
        {"level": "member", "member": str(cast.charlie.principal.user_id)},
        {"level": "member", "member": str(uuid4())},
        {"level": "workspace", "workspace": "nowhere"},
        {"level": "api_key", "api_key": str(charlies.id)},
        {"level": "member", "workspace": "ops", "member": str(cast.bob.principal.user_id)},
    ):
        assert code_of(ask(cast.alice, "POST", "budgets", {"limit": 5, **rule})) == (404, "not_found"), rule


def test_an_operators_budget_is_seen_but_not_changed_by_the_team(cast: Cast) -> None:
    budget = limit_to(cast.alice, 100)
    assert str(budget.id) in {row["id"] for row in ask(cast.alice, "GET", "budgets").json()["data"]}
    assert code_of(ask(cast.alice, "PATCH", f"budgets/{budget.id}", {"limit": 10**9})) == (404, "not_found")
    assert code_of(ask(cast.alice, "DELETE", f"budgets/{budget.id}")) == (404, "not_found")


def test_a_manager_sets_budgets_only_for_members_and_keys_of_the_workspace(cast: Cast) -> None:
    manage(cast.bob)
    bobs = str(cast.bob.principal.user_id)
    made = ask(cast.bob, "POST", "workspaces/sales/budgets", {"limit": 40, "member": bobs})
    assert (made.status_code, made.json()["workspace"]) == (201, "sales")
    begin(cast.bob)
    with pytest.raises(QuotaExceeded) as refusal:
        begin(cast.bob)
    assert refusal.value.details["level"] == "member"
    bound, loose = key_of(cast.bob, bound=True), key_of(cast.bob, bound=False)
    rule = {"level": "api_key", "limit": 5}
    answer = ask(cast.bob, "POST", "workspaces/sales/budgets", {**rule, "api_key": str(bound.id)})
    assert answer.status_code == 201
    refused = ask(cast.bob, "POST", "workspaces/sales/budgets", {**rule, "api_key": str(loose.id)})
    assert code_of(refused) == (403, "role_too_low")
    assert code_of(ask(cast.bob, "POST", "workspaces/sales/budgets", rule)) == (403, "role_too_low")
    assert len(ask(cast.bob, "GET", "workspaces/sales/budgets").json()["data"]) == 2
    assert ask(cast.bob, "PATCH", f"budgets/{made.json()['id']}", {"limit": 50}).status_code == 200


def test_a_manager_finds_no_budget_of_the_team_or_of_another_workspace(cast: Cast) -> None:
    manage(cast.bob)
    teams = ask(cast.alice, "POST", "budgets", {"level": "tenant", "limit": 5}).json()["id"]
    danas = ask(cast.alice, "POST", "budgets", {"level": "member", "workspace": "ops", "limit": 5}).json()[
        "id"
    ]
    for budget in (teams, danas):
        assert code_of(ask(cast.bob, "PATCH", f"budgets/{budget}", {"limit": 9})) == (404, "not_found")


def test_an_editor_may_view_their_limits_but_set_none(cast: Cast) -> None:
    assert code_of(ask(cast.bob, "GET", "budgets")) == (403, "role_too_low")
    assert code_of(ask(cast.bob, "POST", "workspaces/sales/budgets", {"limit": 5})) == (403, "role_too_low")
    assert ask(cast.bob, "GET", "workspaces/sales/quota").status_code == 200


def test_a_new_budget_counts_earlier_usage_in_its_window(cast: Cast) -> None:
    store_usage(cast.bob, tokens=70)
    store_usage(cast.alice, tokens=25)
    ask(cast.alice, "POST", "budgets", {"level": "tenant", "limit": 1000})
    ask(cast.alice, "POST", "budgets", {"level": "member", "window": "day", "limit": 100})
    ask(
        cast.alice, "POST", "budgets", {"level": "member", "window": "total", "workspace": "ops", "limit": 90}
    )
    data = {(row.level, row.window): row.used for row in limits_of(Payer.of(cast.bob.principal))}
    assert data == {("tenant", "month"): 95, ("workspace", "month"): 95, ("member", "day"): 70}
    assert check_ledger().differences == []
    store_usage(cast.bob, tokens=5)
    assert check_ledger().differences == []
    assert BudgetWindow.objects.get(level="tenant").used == 100


def test_a_budget_that_is_removed_and_set_again_counts_all_usage(cast: Cast) -> None:
    rule = {"level": "member", "limit": 1000}
    first = ask(cast.alice, "POST", "budgets", rule).json()["id"]
    store_usage(cast.bob, tokens=10)
    ask(cast.alice, "DELETE", f"budgets/{first}")
    store_usage(cast.bob, tokens=20)
    ask(cast.alice, "POST", "budgets", rule)
    assert BudgetWindow.objects.get(level="member", subject_id=cast.bob.principal.user_id).used == 30
    assert check_ledger().differences == []


def test_another_time_zone_moves_the_windows_and_loses_no_usage(cast: Cast) -> None:
    ask(cast.alice, "POST", "budgets", {"level": "tenant", "window": "day", "limit": 1000})
    store_usage(cast.alice, tokens=30)
    changed = ask(cast.alice, "PATCH", "usage/settings", {"time_zone": "Pacific/Kiritimati"})
    assert (changed.status_code, changed.json()["time_zone"]) == (200, "Pacific/Kiritimati")
    assert ask(cast.bob, "GET", "usage/settings").json()["time_zone"] == "Pacific/Kiritimati"
    assert AuditEntry.objects.get(action="tenant.changed").changes == {
        "time_zone": ["UTC", "Pacific/Kiritimati"]
    }
    assert check_ledger().differences == []


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "", "../etc/passwd", "x" * 100, "UTC\0", "europe/berlin", None, 3]
)
def test_a_zone_that_does_not_exist_is_refused(cast: Cast, zone: Any) -> None:
    answer = ask(cast.alice, "PATCH", "usage/settings", {"time_zone": zone})
    assert code_of(answer) == (422, "invalid_input")
    assert "time_zone" in answer.json()["error"]["details"]


def test_the_budget_of_a_member_who_left_breaks_nothing(cast: Cast) -> None:
    bobs = str(cast.bob.principal.user_id)
    ask(cast.alice, "POST", "budgets", {"level": "member", "member": bobs, "limit": 1000})
    store_usage(cast.bob)
    Membership.objects.filter(user=bobs).delete()
    listed = ask(cast.alice, "GET", "budgets").json()["data"]
    assert [row["member"]["email"] for row in listed if row["member"]] == ["bob@example.com"]
    cast.bob.user.delete()
    assert len(ask(cast.alice, "GET", "budgets").json()["data"]) == 1
    assert check_ledger().differences == []
