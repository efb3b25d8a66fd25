"""Operators see what every workspace may spend and has spent, and change a budget's limit."""

from typing import Any

import pytest

from accounts.models import AuditEntry
from accounts.tests.cast import Cast, Person
from accounts.tests.operators import address, desk, fields_of, queries_of
from quotas.models import Budget, Reservation, UsageRecord
from quotas.tests.ledger import store_usage

pytestmark = pytest.mark.django_db


def budget_of(person: Person) -> Budget:
    return Budget.objects.get(workspace=person.principal.workspace.id)


def test_the_list_shows_limit_and_what_is_used_this_month(cast: Cast) -> None:
    store_usage(cast.bob, tokens=4321)
    page = desk().get(address(Budget, "changelist"), {"q": "acme"})
    rows = page.context["cl"].result_list
    told = {row.workspace.slug: (row.limit, row.used_now, row.reserved_now) for row in rows}
    assert told == {"sales": (1_000_000, 4321, 0), "ops": (1_000_000, 0, 0)}
    assert "4321" in page.content.decode()


def test_budgets_are_found_by_tenant_and_workspace(cast: Cast) -> None:
    client = desk()
    for query, number in {"globex": 1, "ops": 1, "sales": 2, "acme sales": 1, "nothing": 0}.items():
        page = client.get(address(Budget, "changelist"), {"q": query})
        assert len(page.context["cl"].result_list) == number, query


def test_a_limit_is_changed_and_audited_with_both_figures(cast: Cast) -> None:
    client, budget = desk(), budget_of(cast.bob)
    page = address(Budget, "change", budget.pk)
    client.post(page, {**fields_of(client.get(page)), "limit": "5000", "level": "tenant"})
    changed = budget_of(cast.bob)
    told = AuditEntry.objects.get(action="budget.changed")
    assert (changed.limit, changed.level) == (5000, "workspace")
    assert told.changes == {"limit": [1_000_000, 5000]}
    assert (told.tenant.slug, told.workspace.slug) == ("acme", "sales")


@pytest.mark.parametrize("limit", ["-1", "ten", "", str(10**16), str(10**30)])
def test_a_limit_that_makes_no_sense_is_refused(cast: Cast, limit: str) -> None:
    client, budget = desk(), budget_of(cast.bob)
    page = address(Budget, "change", budget.pk)
    answer = client.post(page, {**fields_of(client.get(page)), "limit": limit})
    assert answer.status_code == 200
    assert budget_of(cast.bob).limit == 1_000_000


@pytest.mark.parametrize("model", [Reservation, UsageRecord])
def test_the_ledger_is_only_looked_at(cast: Cast, model: Any) -> None:
    store_usage(cast.bob)
    client, row = desk(), model.objects.get()
    assert client.post(address(model, "change", row.pk), {"input_tokens": "0"}).status_code == 403
    assert client.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert client.get(address(model, "add")).status_code == 403
    assert "bob@example.com" in client.get(address(model, "change", row.pk)).content.decode()


def test_budgets_are_neither_made_nor_deleted_here(cast: Cast) -> None:
    client, budget = desk(), budget_of(cast.bob)
    assert client.get(address(Budget, "add")).status_code == 403
    assert client.post(address(Budget, "delete", budget.pk), {"post": "yes"}).status_code == 403


def test_the_ledger_is_searched_by_turn_person_and_place(cast: Cast) -> None:
    bobs, danas = store_usage(cast.bob), store_usage(cast.dana)
    client = desk()
    for query, found in {str(bobs.turn_id): bobs, "dana": danas, "sales": bobs, "acme ops": danas}.items():
        page = client.get(address(UsageRecord, "changelist"), {"q": query})
        assert list(page.context["cl"].result_list) == [found], query


@pytest.mark.parametrize("model", [Budget, Reservation, UsageRecord])
def test_longer_lists_need_no_more_queries(cast: Cast, model: Any) -> None:
    store_usage(cast.bob)
    client = desk()
    before = len(queries_of(client, address(model, "changelist")))
    for person in (cast.bob, cast.dana, cast.charlie):
        store_usage(person)
    assert len(queries_of(client, address(model, "changelist"))) == before
