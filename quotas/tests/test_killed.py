"""kill -9 at each state: once the lease has run out, nothing stays reserved and the ledger adds up."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now

from accounts.tests.cast import Cast
from quotas.ledger_audit import check_ledger
from quotas.models import BudgetWindow, Hold, Reservation, UsageRecord
from quotas.tests.die_at import STATES
from quotas.tests.ledger import limit_to

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def kill_at(state: str, cast: Cast, turn: UUID) -> None:
    """Runs a turn in a separate process, and kills it as soon as it reports the state."""
    database, principal = connection.settings_dict, cast.alice.principal
    ids = [principal.tenant.id, principal.workspace.id, principal.user_id, turn, uuid4()]
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "quotas.tests.die_at", str(write), state, *map(str, ids)],
        cwd=ROOT,
        pass_fds=[write],
        stdin=subprocess.PIPE,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}",
        },
    )
    os.close(write)
    with os.fdopen(read) as ready:
        assert ready.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("state", STATES)
def test_a_killed_processs_holds_are_released_or_written_off(cast: Cast, state: str) -> None:
    for level in ("tenant", "workspace", "member"):
        limit_to(cast.alice, 1000, level=level)
    limit_to(cast.alice, 1, level="member", metric="turns", window="at_once")
    turn = uuid4()
    kill_at(state, cast, turn)
    assert check_ledger().differences == []

    Reservation.objects.update(lease_expires_at=Now() - timedelta(hours=1))
    call_command("reap_reservations", stdout=StringIO())
    assert check_ledger().differences == []
    assert not BudgetWindow.objects.exclude(reserved=0).exists()
    assert not Hold.objects.filter(state__in=Hold.LIVE).exists()
    lines = [line.input_tokens + line.output_tokens for line in UsageRecord.objects.all()]
    assert lines == ([] if STATES[state] is None else [STATES[state]])
    spent = BudgetWindow.objects.filter(metric="tokens").values_list("used", flat=True)
    assert set(spent) <= {STATES[state] or 0}
