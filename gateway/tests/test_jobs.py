"""Jobs run by a real worker."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from procrastinate.contrib.django import app
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.models import User
from accounts.tasks import clear_expired
from accounts.tests.cast import Cast
from gateway.tasks import recover_lost_turns
from quotas.models import Reservation
from quotas.tests.test_holds import opened


def run_worker() -> None:
    with app.replace_connector(app.connector.get_worker_connector()) as worker:  # type: ignore[attr-defined]
        worker.run_worker(wait=False, listen_notify=False, install_signal_handlers=False)


@pytest.mark.django_db(transaction=True)
def test_a_lost_turn_is_ended_by_the_worker(cast: Cast) -> None:
    opened(cast)
    Reservation.objects.update(lease_expires_at=timezone.now() - timedelta(minutes=1))
    recover_lost_turns.defer(timestamp=0)
    run_worker()
    assert Reservation.objects.get().state == Reservation.State.CLOSED


@pytest.mark.django_db(transaction=True)
def test_expired_refresh_tokens_are_deleted(cast: Cast, settings: Any) -> None:
    RefreshToken.for_user(User.objects.get(email="bob@example.com"))
    OutstandingToken.objects.update(expires_at=timezone.now() - timedelta(days=1))
    clear_expired.defer(timestamp=0)
    run_worker()
    assert not OutstandingToken.objects.exists()
