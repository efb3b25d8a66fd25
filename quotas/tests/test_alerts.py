"""A soft limit is told once a window, to those whom it concerns."""

import pytest
from django.core import mail

from accounts.models import User
from accounts.tests.cast import Cast
from quotas import alerts
from quotas.models import BudgetWindow
from quotas.tests.ledger import limit_to, store_usage
from quotas.tests.test_budgets import manage

pytestmark = pytest.mark.django_db


def told() -> list[tuple[str, str]]:
    return sorted((message.to[0], message.subject) for message in mail.outbox)


def soften(cast: Cast, **rule: object) -> None:
    budget = limit_to(cast.alice, 100, **rule)
    budget.soft_percent = 50
    budget.save()


def test_a_workspaces_managers_are_told_once_when_half_is_used(cast: Cast) -> None:
    manage(cast.bob)
    soften(cast)
    store_usage(cast.bob, tokens=49)
    assert told() == []
    store_usage(cast.bob, tokens=2)
    store_usage(cast.bob, tokens=30)
    subject = "The workspace Sales: 51% of the budget used this month"
    assert told() == [("alice@example.com", subject), ("bob@example.com", subject)]
    assert BudgetWindow.objects.get().alerted_at is not None


def test_those_who_run_the_team_are_told_of_its_budget(cast: Cast) -> None:
    soften(cast, level="tenant", window="day")
    store_usage(cast.bob, tokens=60)
    assert told() == [("alice@example.com", "The team Acme: 60% of the budget used today")]


def test_a_member_is_told_of_their_own_budget_and_nobody_else(cast: Cast) -> None:
    soften(cast, level="member", window="total")
    store_usage(cast.bob, tokens=60)
    assert told() == [("bob@example.com", "Your own budget in Acme: 60% of the budget used in total")]


def test_a_new_window_tells_again(cast: Cast) -> None:
    soften(cast)
    store_usage(cast.alice, tokens=60)
    BudgetWindow.objects.update(starts_at="2026-01-01T00:00Z", resets_at="2026-02-01T00:00Z")
    store_usage(cast.alice, tokens=60)
    assert len(told()) == 2


def test_who_is_no_longer_active_is_not_written_to(cast: Cast) -> None:
    User.objects.filter(email="alice@example.com").update(is_active=False)
    soften(cast, level="tenant")
    store_usage(cast.bob, tokens=60)
    assert told() == []


def test_a_mail_that_cannot_be_left_fails_no_settlement_and_is_tried_again(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    soften(cast)
    with monkeypatch.context() as broken:
        broken.setattr(alerts, "send_mail", lambda *args: 1 / 0)
        store_usage(cast.alice, tokens=60)
    assert (told(), BudgetWindow.objects.get().used) == ([], 60)
    store_usage(cast.alice, tokens=1)
    assert len(told()) == 1


def test_without_a_soft_limit_nobody_is_told(cast: Cast) -> None:
    limit_to(cast.alice, 100)
    store_usage(cast.alice, tokens=99)
    assert told() == []
