"""All budgets that apply must cover a call, at each level, metric and window; a refusal names the limit."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import time_machine
from django.db import transaction

from accounts.models import ApiKey, Tenant, Workspace
from accounts.tests.cast import Cast, Person
from kit.errors import DomainError, RateLimited
from quotas.errors import PriceUnknown, QuotaExceeded
from quotas.hold_states import mark_sent, settle_call
from quotas.holds import hold_call
from quotas.ledger_audit import check_ledger
from quotas.limits import limits_of
from quotas.models import Budget, BudgetWindow, Hold, Plan, Price, TenantPlan, UsageDay, UsageRecord
from quotas.planned_calls import Payer
from quotas.plans import give_plan
from quotas.prices import Usage
from quotas.reservations import close_turn, open_turn
from quotas.tests.ledger import limit_to, planned_call, settled, store_usage

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def within_a_minute() -> Iterator[None]:
    """Travels to the middle of a minute, so that no test crosses the end of a window."""
    with time_machine.travel(datetime(2026, 11, 24, 12, 0, 20, tzinfo=UTC)):
        yield


@pytest.fixture
def key(cast: Cast) -> ApiKey:
    principal = cast.alice.principal
    return ApiKey.objects.create(
        tenant_id=principal.tenant.id,
        owner_id=principal.user_id,
        membership_id=principal.membership_id,
        name="Nightly",
        prefix="abcdefgh",
        scopes=["chat"],
    )


def begin(
    person: Person,
    prompt: int = 10,
    output: int = 20,
    *,
    key: UUID | None = None,
    zone: str = "UTC",
    **named: str,
) -> UUID:
    turn_id = uuid4()
    with transaction.atomic():
        open_turn(
            turn_id=turn_id,
            payer=replace(Payer.of(person.principal), api_key_id=key, time_zone=zone),
            call=planned_call(prompt, output, **named),
            purpose="chat",
            engine="direct",
            lease_seconds=60,
        )
    return turn_id


def refused(act: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(DomainError) as refusal:
        act()
    assert isinstance(refusal.value, QuotaExceeded | RateLimited)
    return refusal.value.details


LEVELS: list[dict[str, Any]] = [
    {"level": "tenant"},
    {"level": "workspace"},
    {"level": "member"},
    {"level": "api_key"},
]


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: str(level["level"]))
@pytest.mark.parametrize("window", ["day", "month", "total"])
def test_each_level_refuses_in_each_window_and_names_itself(
    cast: Cast, key: ApiKey, level: dict[str, Any], window: str
) -> None:
    limit_to(cast.alice, 50, window=window, **level)
    turn = begin(cast.alice, key=key.id)
    details = refused(lambda: begin(cast.alice, key=key.id))
    assert (details["level"], details["window"]) == (level["level"], window)
    assert (details["limit"], details["used"], details["reserved"], details["requested"]) == (50, 0, 30, 30)
    assert (details["resets_at"] is None) == (window == "total")
    close_turn(turn_id=turn)
    begin(cast.alice, key=key.id)


def test_the_tightest_of_several_levels_refuses_and_the_others_take_nothing(cast: Cast) -> None:
    limit_to(cast.alice, 1000, level="tenant")
    limit_to(cast.alice, 25, level="member")
    with pytest.raises(QuotaExceeded) as refusal:
        begin(cast.alice)
    assert refusal.value.details["level"] == "member"


def test_a_members_own_budget_overrides_the_default(cast: Cast) -> None:
    limit_to(cast.alice, 25, level="member")
    limit_to(cast.alice, 60, level="member", member_id=cast.alice.principal.user_id)
    begin(cast.alice)
    begin(cast.alice)
    assert refused(lambda: begin(cast.alice))["limit"] == 60
    assert refused(lambda: begin(cast.bob))["limit"] == 25


def test_a_teams_budget_does_not_raise_the_operators(cast: Cast) -> None:
    limit_to(cast.alice, 50)
    limit_to(
        cast.alice, 10**6, level="workspace", workspace_id=cast.alice.principal.workspace.id, set_by="team"
    )
    begin(cast.alice)
    assert refused(lambda: begin(cast.alice))["limit"] == 50


def test_a_plans_budgets_apply_to_every_tenant_that_has_it(cast: Cast) -> None:
    plan = Plan.objects.create(name="Small")
    Budget.objects.create(plan=plan, set_by="operator", level="tenant", limit=40)
    give_plan(tenant=Tenant.objects.get(slug="acme"), plan=plan)
    begin(cast.alice)
    assert refused(lambda: begin(cast.bob))["level"] == "tenant"
    begin(cast.charlie)


def test_an_operators_budget_for_a_workspace_overrides_its_plans(cast: Cast) -> None:
    Budget.objects.filter(plan__isnull=False).update(limit=10)
    assert refused(lambda: begin(cast.alice))["limit"] == 10
    limit_to(cast.alice, 10**6)
    begin(cast.alice)


def test_a_members_budget_in_a_workspace_counts_that_workspace_only(cast: Cast) -> None:
    sales = cast.bob.principal.workspace.id
    limit_to(cast.bob, 40, level="member", workspace_id=sales)
    begin(cast.bob)
    assert refused(lambda: begin(cast.bob))["limit"] == 40
    begin(cast.alice)  # her counter is separate
    begin(cast.dana)
    begin(cast.dana)


def test_a_keys_budget_does_not_count_its_owners_own_usage(cast: Cast, key: ApiKey) -> None:
    limit_to(cast.alice, 40, level="api_key", api_key_id=key.id)
    begin(cast.alice, key=key.id)
    begin(cast.alice)
    assert refused(lambda: begin(cast.alice, key=key.id))["level"] == "api_key"


def test_requests_per_minute_are_limited_with_a_retry_after(cast: Cast) -> None:
    limit_to(cast.alice, 2, level="member", metric="requests", window="minute")
    close_turn(turn_id=begin(cast.alice))
    close_turn(turn_id=begin(cast.alice))
    with pytest.raises(RateLimited) as refusal:
        begin(cast.alice)
    details = refusal.value.details
    assert (details["metric"], details["window"], details["used"]) == ("requests", "minute", 2)
    assert 1 <= details["retry_after"] <= 60
    begin(cast.bob)


def test_tokens_per_minute_count_holds_until_they_are_settled(cast: Cast) -> None:
    limit_to(cast.alice, 40, level="tenant", window="minute")
    turn, call = begin(cast.alice), uuid4()
    with pytest.raises(RateLimited):
        begin(cast.alice)
    settled(turn, call, planned_call(10, 20), Usage(1, 1))
    begin(cast.alice)


def test_closing_a_turn_frees_its_share_of_concurrent_turns(cast: Cast) -> None:
    limit_to(cast.alice, 1, level="member", metric="turns", window="at_once")
    turn = begin(cast.alice)
    assert refused(lambda: begin(cast.alice))["metric"] == "turns"
    begin(cast.bob)
    close_turn(turn_id=turn)
    close_turn(turn_id=turn)
    begin(cast.alice)
    assert BudgetWindow.objects.get(metric="turns", subject_id=cast.alice.principal.user_id).reserved == 1


def test_a_second_call_of_a_turn_counts_neither_as_turn_nor_as_request(cast: Cast) -> None:
    limit_to(cast.alice, 1, level="member", metric="turns", window="at_once")
    limit_to(cast.alice, 1, level="member", metric="requests", window="minute")
    turn = begin(cast.alice)
    settled(turn, uuid4(), planned_call(10, 20), Usage(1, 1))
    settled(turn, uuid4(), planned_call(5, 5), Usage(1, 1))


def priced(cast: Cast, **price: Any) -> Price:
    named = {"input": 2_000_000, "output": 8_000_000, "effective_from": "2026-01-01T00:00:00Z", **price}
    if "provider" not in named:
        named["workspace_id"] = cast.alice.principal.workspace.id
    return Price.objects.create(**{"model": "gpt", **named})


GPT = {"model": "gpt", "provider": "openai", "upstream_name": "gpt-4o"}


def test_a_call_costs_the_price_in_force_when_it_was_held(cast: Cast) -> None:
    priced(cast, cached_input=1_000_000, reasoning=9_000_000)
    limit_to(cast.alice, 1000, metric="cost")
    turn, call_id = begin(cast.alice, 100, 50, **GPT), uuid4()
    assert Hold.objects.get().cost_bound == 100 * 2 + 50 * 9
    Price.objects.update(input=0)
    call = planned_call(100, 50, **GPT)
    settled(turn, call_id, call, Usage(80, 40, cached_tokens=30, reasoning_tokens=10))
    line = UsageRecord.objects.get()
    assert line.cost == 50 * 2 + 30 * 1 + 30 * 8 + 10 * 9
    counter = BudgetWindow.objects.get(metric="cost")
    assert (counter.used, counter.reserved) == (line.cost, 0)
    assert UsageDay.objects.get().cost == line.cost


@pytest.mark.parametrize(("tokens", "cost"), [(1, 1), (3, 2), (0, 0)])
def test_a_fraction_of_a_millionth_is_rounded_up_once(cast: Cast, tokens: int, cost: int) -> None:
    priced(cast, input=500_000, output=0)
    turn = begin(cast.alice, 10, 10, **GPT)
    settled(turn, uuid4(), planned_call(10, 10, **GPT), Usage(tokens, 5))
    assert UsageRecord.objects.get().cost == cost


def test_the_latest_price_applies_and_a_workspaces_own_takes_precedence(cast: Cast) -> None:
    priced(cast, provider="openai", model="gpt-4o", input=5_000_000)
    priced(cast, provider="openai", model="gpt-4o", input=7_000_000, effective_from="2026-02-01T00:00:00Z")
    priced(cast, provider="openai", model="gpt-4o", input=1, effective_from="2999-01-01T00:00:00Z")
    begin(cast.alice, **GPT)
    begin(cast.charlie, **GPT)
    assert set(Hold.objects.values_list("input_price", flat=True)) == {7_000_000}
    priced(cast, input=3)
    begin(cast.alice, **GPT)
    begin(cast.charlie, **GPT)
    assert sorted(Hold.objects.values_list("input_price", flat=True)) == [3, 7_000_000, 7_000_000, 7_000_000]


def test_an_unknown_price_is_refused_only_under_a_cost_budget(cast: Cast) -> None:
    turn, call_id = begin(cast.alice, **GPT), uuid4()
    settled(turn, call_id, planned_call(10, 20, **GPT), Usage(5, 5))
    assert UsageRecord.objects.get().cost is None
    assert (UsageDay.objects.get().cost, UsageDay.objects.get().unpriced_calls) == (0, 1)
    limit_to(cast.alice, 10**9, metric="cost")
    with pytest.raises(PriceUnknown):
        begin(cast.alice, **GPT)
    with pytest.raises(PriceUnknown):
        hold_call(turn_id=turn, call_id=uuid4(), call=planned_call(1, 1, **GPT))


def test_a_limit_lowered_below_what_is_used_refuses_and_shows_nothing_left(cast: Cast) -> None:
    store_usage(cast.alice, tokens=300)
    limit_to(cast.alice, 100)
    details = refused(lambda: begin(cast.alice, 1, 1))
    assert (details["limit"], details["used"], details["remaining"]) == (100, 300, 0)
    assert limits_of(Payer.of(cast.alice.principal))[0].percent_used == 100


def test_a_grant_raises_the_limit_in_its_window(cast: Cast) -> None:
    limit_to(cast.alice, 30)
    begin(cast.alice)
    refused(lambda: begin(cast.alice))
    BudgetWindow.objects.update(granted=30)
    begin(cast.alice)
    assert refused(lambda: begin(cast.alice))["limit"] == 60


def test_a_limit_set_during_a_turn_applies_to_its_next_call(cast: Cast) -> None:
    turn = begin(cast.alice)
    settled(turn, uuid4(), planned_call(10, 20), Usage(10, 20))
    limit_to(cast.alice, 5, level="tenant")
    details = refused(lambda: hold_call(turn_id=turn, call_id=uuid4(), call=planned_call(10, 20)))
    assert details["level"] == "tenant"


def test_without_plan_and_budget_there_is_no_limit(cast: Cast) -> None:
    TenantPlan.objects.all().delete()
    begin(cast.alice, 10**9, 10**9)
    assert not BudgetWindow.objects.exists()


def forget_workspace(person: Person, key: ApiKey) -> None:
    Workspace.objects.filter(id=person.principal.workspace.id).delete()


def forget_member(person: Person, key: ApiKey) -> None:
    person.user.delete()


def forget_key(person: Person, key: ApiKey) -> None:
    key.delete()


@pytest.mark.parametrize("forget", [forget_workspace, forget_member, forget_key])
def test_a_call_is_settled_although_its_payer_was_deleted(
    cast: Cast, key: ApiKey, forget: Callable[[Person, ApiKey], None]
) -> None:
    limit_to(cast.dana, 100)
    limit_to(cast.dana, 100, level="member", member_id=cast.dana.principal.user_id)
    limit_to(cast.dana, 100, level="api_key", api_key_id=key.id)
    limit_to(cast.dana, 3, level="api_key", api_key_id=key.id, metric="turns", window="at_once")
    turn, sent, unsettled = begin(cast.dana, key=key.id), uuid4(), uuid4()
    for call_id in (sent, unsettled):
        hold_call(turn_id=turn, call_id=call_id, call=planned_call(10, 20))
        mark_sent(call_id=call_id)
    forget(cast.dana, key)
    settle_call(call_id=sent, usage=Usage(4, 4))
    close_turn(turn_id=turn)
    assert [line.input_tokens + line.output_tokens for line in UsageRecord.objects.order_by("id")] == [8, 10]
    assert set(BudgetWindow.objects.values_list("metric", "used", "reserved")) == {
        ("tokens", 18, 0),
        ("turns", 0, 0),
    }
    assert check_ledger().differences == []
