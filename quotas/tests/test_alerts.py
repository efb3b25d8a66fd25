"""A soft limit is emailed once a window to the people concerned."""

import pytest
from django.core import mail

from accounts.models import User
from accounts.tests.cast import Cast
from quotas import alerts
from quotas.models import BudgetWindow
from quotas.tests.ledger import limit_to, store_usage
from quotas.tests.test_budgets import manage

pytestmark = pytest.mark.django_db


def sent() -> list[tuple[str, str]]:
    return sorted((message.to[0], message.subject) for message in mail.outbox)


def set_soft_limit(cast: Cast, **rule: object) -> None:
    budget = limit_to(cast.alice, 100, **rule)
    budget.soft_percent = 50
    budget.save()


def test_a_workspaces_managers_get_one_email_at_the_soft_limit(cast: Cast) -> None:
    manage(cast.bob)
    set_soft_limit(cast)
    store_usage(cast.bob, tokens=49)
    assert sent() == []
    store_usage(cast.bob, tokens=2)
    store_usage(cast.bob, tokens=30)
    subject = "The workspace Sales: 51% of the budget used this month"
    assert sent() == [("alice@example.com", subject), ("bob@example.com", subject)]
    assert BudgetWindow.objects.get().alerted_at is not None


def test_owners_and_admins_get_an_email_about_the_teams_budget(cast: Cast) -> None:
    set_soft_limit(cast, level="tenant", window="day")
    store_usage(cast.bob, tokens=60)
    assert sent() == [("alice@example.com", "The team Acme: 60% of the budget used today")]


def test_only_the_member_gets_an_email_about_their_own_budget(cast: Cast) -> None:
    set_soft_limit(cast, level="member", window="total")
    store_usage(cast.bob, tokens=60)
    assert sent() == [("bob@example.com", "Your own budget in Acme: 60% of the budget used in total")]


def test_a_new_window_alerts_again(cast: Cast) -> None:
    set_soft_limit(cast)
    store_usage(cast.alice, tokens=60)
    BudgetWindow.objects.update(starts_at="2026-01-01T00:00Z", resets_at="2026-02-01T00:00Z")
    store_usage(cast.alice, tokens=60)
    assert len(sent()) == 2


def test_inactive_people_get_no_email(cast: Cast) -> None:
    User.objects.filter(email="alice@example.com").update(is_active=False)
    set_soft_limit(cast, level="tenant")
    store_usage(cast.bob, tokens=60)
    assert sent() == []


def test_a_mail_that_cannot_be_queued_fails_no_settlement_and_is_retried(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_soft_limit(cast)
    with monkeypatch.context() as broken:
        broken.setattr(alerts, "send_mail", lambda *args: 1 / 0)
        store_usage(cast.alice, tokens=60)
    assert (sent(), BudgetWindow.objects.get().used) == ([], 60)
    store_usage(cast.alice, tokens=1)
    assert len(sent()) == 1


def test_without_a_soft_limit_no_email_is_sent(cast: Cast) -> None:
    limit_to(cast.alice, 100)
    store_usage(cast.alice, tokens=99)
    assert sent() == []
