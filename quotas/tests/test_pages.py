"""The usage and budgets pages: who sees which scope, and what the forms do."""

import csv
import io
from datetime import date
from html import unescape
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant, WorkspaceMember
from accounts.tests.cast import Cast, Person
from quotas.models import Budget
from quotas.pages.charts import day_chart
from quotas.tests.ledger import limit_to, store_usage
from quotas.tests.test_budgets import manage
from quotas.usage import Group, Used

pytestmark = pytest.mark.django_db


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person.user)
    return client


def page(person: Person, path: str = "usage", workspace: str = "sales") -> Any:
    return browser(person).get(f"/t/acme/w/{workspace}/{path}")


def post(person: Person, path: str, **sent: Any) -> Any:
    return browser(person).post(f"/t/acme/w/sales/usage/{path}", sent, follow=True)


@pytest.mark.parametrize(
    ("role", "scopes"),
    [("viewer", 0), ("editor", 0), ("manager", 2)],
)
def test_each_role_sees_its_scopes(cast: Cast, role: str, scopes: int) -> None:
    WorkspaceMember.objects.filter(user=cast.bob.principal.user_id).update(role=role)
    store_usage(cast.alice, tokens=11_111)
    store_usage(cast.bob, tokens=2_222)
    shown = page(cast.bob).content.decode()
    assert shown.count("?of=team") == 0
    assert (
        shown.count("?of=workspace&amp;by=model&amp;since") >= 1 if scopes else "?of=workspace" not in shown
    )
    total = "13,333" if scopes else "2,222"
    assert f'data-testid="used-tokens">{total}<' in shown
    asked = page(cast.bob, "usage?of=team&by=member").content.decode()
    assert ("alice@example.com" in asked) == (role == "manager")


def test_owners_and_admins_see_the_whole_teams_usage(cast: Cast) -> None:
    store_usage(cast.dana, tokens=4_444)
    shown = page(cast.alice, "usage?of=team&by=workspace").content.decode()
    assert 'data-testid="used-tokens">4,444<' in shown
    assert "4,444 tokens on 1 of" in shown


@pytest.mark.parametrize(
    "query",
    ["since=2026-03-01&until=2026-02-01", "since=x", "since=0001-01-01&until=9999-12-31", "until=%00"],
)
def test_invalid_dates_show_this_month_with_a_message(cast: Cast, query: str) -> None:
    shown = page(cast.alice, f"usage?{query}")
    assert shown.status_code == 200
    assert "Showing this month" in shown.content.decode()


def test_flagged_calls_are_shown(cast: Cast) -> None:
    store_usage(cast.alice, tokens=10)
    assert "flagged" not in page(cast.alice).content.decode()
    store_usage(cast.alice, tokens=10, flag="cut_off")
    shown = page(cast.alice).content.decode()
    assert 'data-testid="flagged-calls">1 flagged' in shown
    assert 'title="1 flagged' in shown


def test_no_usage_is_shown_as_a_text(cast: Cast) -> None:
    shown = page(cast.alice).content.decode()
    assert "No usage in this period" in shown


def test_the_usage_page_takes_the_same_number_of_statements_for_any_usage(cast: Cast) -> None:
    client = browser(cast.alice)

    def statements() -> int:
        client.get("/t/acme/w/sales/usage?of=team&by=member")
        with CaptureQueriesContext(connection) as seen:
            client.get("/t/acme/w/sales/usage?of=team&by=member")
        # Whether the first statement needs a SET depends on what this thread did before the request.
        return sum(not query["sql"].startswith("SET search_path") for query in seen)

    store_usage(cast.alice)
    few = statements()
    for person in (cast.bob, cast.dana):
        store_usage(person)
        limit_to(person, 10**6, level="member", member_id=person.principal.user_id)
    assert statements() == few


def test_a_budget_is_set_changed_and_removed_by_forms(cast: Cast) -> None:
    shown = post(cast.alice, "budgets", target="tenant", kind="cost/month", limit="12.5", soft_percent="80")
    assert "Budget set" in shown.content.decode()
    budget = Budget.objects.get(set_by="team")
    assert (budget.level, budget.metric, budget.window, budget.limit) == (
        "tenant",
        "cost",
        "month",
        12_500_000,
    )
    shown = post(cast.alice, f"budgets/{budget.pk}", limit="0.000001", soft_percent="")
    budget.refresh_from_db()
    assert (budget.limit, budget.soft_percent) == (1, None)
    assert 'value="0.000001"' in shown.content.decode()
    post(cast.alice, f"budgets/{budget.pk}/remove")
    assert not Budget.objects.filter(set_by="team").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limit": "1.5"}, "whole number"),
        ({"limit": "-1"}, "greater than or equal to 0"),
        ({"limit": "NaN"}, "Enter a number"),
        ({"limit": "1e400"}, "digits"),
        ({"limit": str(10**16)}, "less than or equal"),
        ({"limit": "0.0000001", "kind": "cost/day"}, "decimal places"),
        ({"limit": str(10**12), "kind": "cost/day"}, "between 0 and"),
        ({"soft_percent": "100"}, "less than or equal to 99"),
        ({"target": "planet"}, "valid choice"),
        ({"target": f"member:{uuid4()}"}, "valid choice"),
        ({"kind": "turns/day"}, "valid choice"),
    ],
)
def test_an_invalid_form_shows_its_errors(cast: Cast, wrong: dict[str, str], said: str) -> None:
    sent = {"target": "member", "kind": "tokens/month", "limit": "5", "soft_percent": "", **wrong}
    assert said in post(cast.alice, "budgets", **sent).content.decode()
    assert not Budget.objects.filter(set_by="team").exists()


def test_a_duplicate_budget_is_a_form_error(cast: Cast) -> None:
    sent = {"target": "member", "kind": "tokens/month", "limit": "5", "soft_percent": ""}
    post(cast.alice, "budgets", **sent)
    assert "This budget already exists" in post(cast.alice, "budgets", **sent).content.decode()


def test_a_manager_can_choose_only_targets_in_the_workspace(cast: Cast) -> None:
    assert page(cast.bob, "usage/budgets").status_code == 403
    manage(cast.bob)
    shown = page(cast.bob, "usage/budgets").content.decode()
    assert 'value="tenant"' not in shown
    sales, bobs = cast.bob.principal.workspace.id, cast.bob.principal.user_id
    shown = post(
        cast.bob, "budgets", target=f"member:{bobs}@{sales}", kind="tokens/day", limit="900", soft_percent=""
    )
    budget = Budget.objects.get(set_by="team")
    assert (budget.member_id, budget.workspace_id, budget.limit) == (bobs, sales, 900)
    teams = limit_to(cast.alice, 5, level="tenant", set_by="team")
    post(cast.bob, f"budgets/{teams.pk}", limit="7")
    post(cast.bob, f"budgets/{teams.pk}/remove")
    assert Budget.objects.get(pk=teams.pk).limit == 5


def test_owners_and_admins_change_the_time_zone(cast: Cast) -> None:
    post(cast.alice, "budgets/zone", time_zone="Asia/Tokyo")
    assert Tenant.objects.get(slug="acme").time_zone == "Asia/Tokyo"
    assert "Unknown time zone" in post(cast.alice, "budgets/zone", time_zone="Moon").content.decode()
    manage(cast.bob)
    assert post(cast.bob, "budgets/zone", time_zone="UTC").status_code == 403


@pytest.mark.parametrize("name", ["charlie", "dana"])
def test_strangers_find_no_such_pages(cast: Cast, name: str) -> None:
    stranger = getattr(cast, name)
    for path in ("usage", "usage/budgets", "usage/export.csv"):
        assert page(stranger, path).status_code == 404
    assert page(cast.alice, "usage/export.xml").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_shown_usage_can_be_downloaded(server: Any, cast: Cast) -> None:
    store_usage(cast.alice, tokens=5)
    store_usage(cast.bob, tokens=6)
    with httpx.Client(
        base_url=server.url, cookies={"sessionid": browser(cast.bob).cookies["sessionid"].value}
    ) as web:
        answer = web.get("/t/acme/w/sales/usage/export.csv?of=team")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["member"], row["input_tokens"]) for row in rows] == [("bob@example.com", "6")]


def test_a_nearly_reached_limit_is_shown_next_to_the_composer(cast: Cast) -> None:
    budget = limit_to(cast.alice, 100)
    Budget.objects.filter(pk=budget.pk).update(soft_percent=50)
    assert "composer-near" not in page(cast.bob, "chat/").content.decode()
    store_usage(cast.bob, tokens=60)
    shown = page(cast.bob, "chat/").content.decode()
    assert "60% of the workspace's monthly token budget is used" in unescape(shown)


def test_a_chart_has_a_description() -> None:
    days = [
        Group(date(2026, 11, 1), "", Used(calls=1, input_tokens=10)),
        Group(date(2026, 11, 2), "", Used()),
        Group(date(2026, 11, 3), "", Used(calls=2, input_tokens=100, output_tokens=900)),
    ]
    chart = day_chart(days)
    assert chart.text == "1,010 tokens on 2 of 3 days. Most on 3 Nov: 1,000."
    assert [bar.height for bar in chart.bars] == [2.0, 160.0]
    assert chart.bars[1].title == "3 Nov: 1,000 tokens, 2 calls"
    assert day_chart(days[1:2]).text == "No usage in this period."
