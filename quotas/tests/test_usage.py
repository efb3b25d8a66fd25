"""Usage is broken down for the people who may see it, and exported line by line."""

import csv
import io
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.tests.cast import Cast
from quotas import exports
from quotas.ledger_audit import check_ledger
from quotas.models import Price, UsageDay, UsageRecord
from quotas.planned_calls import Payer
from quotas.prices import Usage
from quotas.reservations import open_turn
from quotas.tests.ledger import planned_call, settled, store_usage
from quotas.tests.test_budgets import ask, code_of, key_of, manage
from quotas.windows import day_at

pytestmark = pytest.mark.django_db
GPT = {"model": "gpt", "provider": "openai", "upstream_name": "gpt-4o"}


@pytest.fixture
def used(cast: Cast) -> None:
    """Alice 100 and 40 of gpt in sales, Bob 30 in sales, Dana 20 in ops, Charlie 7 in another team."""
    Price.objects.create(
        provider="openai", model="gpt-4o", input=2_000_000, output=1, effective_from="2026-01-01T00:00Z"
    )
    store_usage(cast.alice, tokens=100)
    store_usage(cast.alice, tokens=40, **GPT)
    store_usage(cast.bob, tokens=30)
    store_usage(cast.dana, tokens=20)
    store_usage(cast.charlie, tokens=7)


def rows(answer: Any) -> dict[str, int]:
    assert answer.status_code == 200, answer.content
    return {row["label"]: row["total_tokens"] for row in answer.json()["data"] if row["total_tokens"]}


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("workspace", {"sales": 170, "ops": 20}),
        ("member", {"alice@example.com": 140, "bob@example.com": 30, "dana@example.com": 20}),
        ("model", {"local": 150, "gpt": 40}),
        ("purpose", {"chat": 190}),
        ("api_key", {"No API key": 190}),
        ("day", {str(day_at(timezone.now(), "UTC")): 190}),
    ],
)
def test_the_teams_usage_is_grouped_by_each_column(
    cast: Cast, used: None, by: str, expected: dict[str, int]
) -> None:
    answer = ask(cast.alice, "GET", f"usage?by={by}")
    assert rows(answer) == expected
    total = answer.json()["total"]
    assert (total["calls"], total["total_tokens"], total["cost"]) == (4, 190, 80)
    assert (answer.json()["others"], answer.json()["currency"]) == (None, "USD")


def test_a_month_shows_every_day_even_without_usage(cast: Cast, used: None) -> None:
    answer = ask(cast.alice, "GET", "usage?since=2026-02-01&until=2026-02-28").json()
    assert len(answer["data"]) == 28
    assert {row["total_tokens"] for row in answer["data"]} == {0}


def test_a_member_sees_only_their_own_usage(cast: Cast, used: None) -> None:
    assert rows(ask(cast.bob, "GET", "usage?by=member")) == {"bob@example.com": 30}
    assert rows(ask(cast.bob, "GET", "workspaces/sales/usage?by=member")) == {"bob@example.com": 30}
    alice = cast.alice.principal.user_id
    assert code_of(ask(cast.bob, "GET", f"usage?member={alice}")) == (404, "not_found")
    assert code_of(ask(cast.bob, "GET", f"workspaces/sales/usage?member={alice}")) == (404, "not_found")


def test_a_manager_sees_the_workspaces_usage_and_otherwise_only_their_own(cast: Cast, used: None) -> None:
    manage(cast.bob)
    found = rows(ask(cast.bob, "GET", "workspaces/sales/usage?by=member"))
    assert found == {"alice@example.com": 140, "bob@example.com": 30}
    assert rows(ask(cast.bob, "GET", "workspaces/sales/usage?by=member&mine=true")) == {"bob@example.com": 30}
    assert rows(ask(cast.bob, "GET", "usage?by=member")) == {"bob@example.com": 30}


def test_usage_is_filtered_by_model_member_key_and_workspace(cast: Cast, used: None) -> None:
    key, bob = key_of(cast.alice, bound=False), cast.bob.principal.user_id
    assert rows(ask(cast.alice, "GET", "usage?by=model&model=gpt")) == {"gpt": 40}
    assert rows(ask(cast.alice, "GET", f"usage?by=model&member={bob}")) == {"local": 30}
    assert rows(ask(cast.alice, "GET", f"usage?by=model&api_key={key.id}")) == {}
    assert rows(ask(cast.alice, "GET", "usage?by=model&workspace=ops")) == {"local": 20}
    for unknown in (f"member={uuid4()}", f"api_key={uuid4()}", "workspace=nowhere"):
        assert code_of(ask(cast.alice, "GET", f"usage?{unknown}")) == (404, "not_found"), unknown


@pytest.mark.parametrize(
    "query",
    [
        "by=moon",
        "since=yesterday",
        "since=2026-02-30",
        "since=2026-03-01&until=2026-02-01",
        "since=2020-01-01&until=2026-01-01",
        "since=0001-01-01&until=9999-12-31",
        "member=bob",
        "mine=perhaps",
        "workspace=../../",
        "purpose=war",
        "model=" + "x" * 101,
        "model=a%00b",
    ],
)
def test_an_invalid_query_is_refused_by_field(cast: Cast, query: str) -> None:
    assert code_of(ask(cast.alice, "GET", f"usage?{query}")) == (422, "invalid_input")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("usage?member_id=bob", "member_id"),
        ("usage?since=2026-01-01&Until=2026-01-02", "Until"),
        ("usage?cursor=abc", "cursor"),
        ("usage/export.csv?by=model", "by"),
        ("usage/export.json?form=csv", "form"),
        ("workspaces/sales/usage?workspace=ops", "workspace"),
        ("workspaces/sales/usage/export.csv?workspace=ops", "workspace"),
    ],
)
def test_an_unknown_parameter_is_refused_by_name(cast: Cast, path: str, name: str) -> None:
    answer = ask(cast.alice, "GET", path)
    assert code_of(answer) == (422, "invalid_input")
    ((named, (problem,)),) = answer.json()["error"]["details"].items()
    assert named == name
    assert problem.startswith("Unknown field. Known fields: since, until, mine, ")


def test_wrong_and_unknown_parameters_are_named_together(cast: Cast) -> None:
    details = ask(cast.alice, "GET", "usage?by=moon&sinse=2026-01-01").json()["error"]["details"]
    assert set(details) == {"by", "sinse"}


def test_lists_of_budgets_are_still_paged(cast: Cast) -> None:
    for window in ("day", "total"):
        ask(cast.alice, "POST", "budgets", {"level": "tenant", "window": window, "limit": 5})
    first = ask(cast.alice, "GET", "budgets?limit=2").json()
    rest = ask(cast.alice, "GET", f"budgets?limit=2&cursor={first['next']}").json()
    assert (len(first["data"]), len(rest["data"]), rest["has_more"]) == (2, 1, False)


@pytest.mark.parametrize(
    "edge", ["since=9999-12-31", "until=0001-01-01", "since=0001-01-01&until=0001-01-02"]
)
def test_the_first_and_last_dates_of_the_calendar_are_valid(cast: Cast, edge: str) -> None:
    assert ask(cast.alice, "GET", f"usage?{edge}").status_code == 200


def test_groups_beyond_the_first_are_summed_in_one(cast: Cast, used: None) -> None:
    line = UsageDay.objects.first()
    assert line is not None
    day, tenant, workspace = line.day, cast.alice.principal.tenant.id, cast.alice.principal.workspace.id
    UsageDay.objects.bulk_create(
        UsageDay(
            tenant_id=tenant,
            workspace_id=workspace,
            user_id=uuid4(),
            day=day,
            model=f"model-{number}",
            purpose="chat",
            calls=1,
            input_tokens=1,
            cached_tokens=0,
            output_tokens=0,
            reasoning_tokens=0,
            cost=0,
            unpriced_calls=0,
        )
        for number in range(250)
    )
    answer = ask(cast.alice, "GET", "usage?by=model").json()
    assert (len(answer["data"]), answer["others"]["total_tokens"]) == (200, 52)
    assert answer["total"]["total_tokens"] == 190 + 250


@pytest.mark.parametrize("by", ["day", "member", "workspace", "api_key", "model"])
def test_a_breakdown_takes_the_same_number_of_queries_for_any_usage(cast: Cast, used: None, by: str) -> None:
    with CaptureQueriesContext(connection) as few:
        ask(cast.alice, "GET", f"usage?by={by}")
    for _ in range(5):
        store_usage(cast.dana)
        store_usage(cast.bob, **GPT)
    with CaptureQueriesContext(connection) as many:
        ask(cast.alice, "GET", f"usage?by={by}")
    assert len(many) == len(few)


def parsed(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


@pytest.mark.django_db(transaction=True)
def test_the_ledger_is_exported_page_by_page_in_both_forms(
    client_of: Any, cast: Cast, used: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE", 2)
    client = client_of(cast.alice)
    answer = client.get("/v1/usage/export.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="usage-')
    lines = parsed(answer.content)
    assert [(row["member"], row["model"], row["input_tokens"]) for row in lines] == [
        ("alice@example.com", "local", "100"),
        ("alice@example.com", "gpt", "40"),
        ("bob@example.com", "local", "30"),
        ("dana@example.com", "local", "20"),
    ]
    assert [row["cost"] for row in lines] == ["0", "80", "0", "0"]
    exported = client.get("/v1/usage/export.json").json()["data"]
    assert [row["call_id"] for row in exported] == [row["call_id"] for row in lines]
    assert client.get("/v1/usage/export.json?since=2020-01-01&until=2020-01-02").json() == {"data": []}
    assert client.get("/v1/usage/export.xml").status_code == 404
    assert len(parsed(client.get("/v1/workspaces/ops/usage/export.csv").content)) == 1
    own = parsed(client_of(cast.bob).get("/v1/workspaces/sales/usage/export.csv").content)
    assert {row["member"] for row in own} == {"bob@example.com"}


def test_a_name_that_looks_like_a_formula_is_exported_as_text(cast: Cast) -> None:
    key = key_of(cast.alice, bound=False)
    key.name = "=HYPERLINK(evil)"
    row = dict.fromkeys(exports.FIELDS) | {"api_key": key.name, "model": "+1"}
    lines = parsed(exports._csv([exports.FIELDS, [exports._escaped(row[name]) for name in exports.FIELDS]]))
    assert (lines[0]["api_key"], lines[0]["model"]) == ("'=HYPERLINK(evil)", "'+1")


def test_a_page_of_the_ledger_takes_the_same_number_of_queries_for_any_length(cast: Cast) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            exports.read_page(wanted, None)
        return len(seen)

    today = date(2026, 1, 1)
    wanted = exports.Slice(cast.alice.principal.tenant, today, today + timedelta(days=5000))
    store_usage(cast.alice)
    one = queries()
    for person in (cast.alice, cast.bob, cast.dana):
        store_usage(person)
    assert queries() == one
    assert UsageRecord.objects.count() == 4


def test_a_key_bound_to_a_workspace_sees_only_its_usage(cast: Cast, used: None) -> None:
    made = ask(cast.alice, "POST", "workspaces/ops/api-keys", {"name": "Report", "scopes": ["read"]}).json()
    bearer = {"Authorization": f"Bearer {made['key']}"}
    assert rows(Client().get("/v1/workspaces/ops/usage?by=workspace", headers=bearer)) == {"ops": 20}
    assert code_of(Client().get("/v1/usage", headers=bearer)) == (403, "key_bound")
    assert code_of(Client().get("/v1/usage/export.csv", headers=bearer)) == (403, "key_bound")
    assert code_of(Client().get("/v1/workspaces/sales/usage", headers=bearer)) == (404, "not_found")


@pytest.mark.django_db(transaction=True)
def test_managers_see_which_calls_are_flagged(client_of: Any, cast: Cast) -> None:
    store_usage(cast.bob, tokens=10)
    store_usage(cast.bob, tokens=20, flag="implausible", **GPT)
    turn_id, call_id, call = uuid4(), uuid4(), planned_call(5, 5)
    open_turn(
        turn_id=turn_id,
        payer=Payer.of(cast.bob.principal),
        call=call,
        purpose="chat",
        engine="direct",
        lease_seconds=60,
    )
    settled(turn_id, call_id, call, Usage(8, 5))
    client = client_of(cast.alice)
    by_model = client.get("/v1/usage?by=model").json()
    assert by_model["total"]["flagged_calls"] == 2
    assert {row["label"]: row["flagged_calls"] for row in by_model["data"]} == {"local": 1, "gpt": 1}
    exported = parsed(client.get("/v1/usage/export.csv").content)
    assert [row["flag"] for row in exported] == ["", "implausible", "overrun"]
    assert check_ledger().differences == []
