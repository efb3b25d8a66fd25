"""A tool run changes its state only as drawn, and of two processes only one changes it."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.tests.cast import Cast
from gateway.calls.tool_run_states import State, answer_run, claim_run, create_run, expire_run
from gateway.models import ToolRun, Turn
from gateway.tests.stored import store_turn
from kit.tenancy import tenant_scope

pytestmark = pytest.mark.django_db


@pytest.fixture
def turn(cast: Cast) -> Iterator[Turn]:
    turn = store_turn(cast.alice)
    with tenant_scope(cast.alice.principal.tenant):
        yield turn


def opened(turn: Turn, *, refusal: str = "", needs_approval: bool = False) -> ToolRun:
    return create_run(
        turn_id=turn.id,
        call_id="call_1",
        server="calculator",
        server_id=uuid4(),
        tool="add",
        arguments={},
        arguments_hash="0" * 64,
        refusal=refusal,
        needs_approval=needs_approval,
    )


def answer(run: ToolRun, state: State) -> bool:
    return answer_run(turn_id=run.turn_id, run_id=run.id, state=state, user_id=uuid4())


def test_a_new_run_is_denied_waits_or_may_run(turn: Turn) -> None:
    assert opened(turn).state == State.ASKED
    assert opened(turn, needs_approval=True).state == State.WAITING
    refused = opened(turn, refusal="No.", needs_approval=True)
    assert (refused.state, refused.expires_at) == (State.DENIED, None)


def test_a_run_is_answered_once_and_only_in_time(turn: Turn) -> None:
    run, late = opened(turn, needs_approval=True), opened(turn, needs_approval=True)
    assert answer(run, State.ALLOWED)
    assert not answer(run, State.REFUSED)
    ToolRun.objects.filter(id=late.id).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert not answer(late, State.ALLOWED)
    assert [row.id for row in ToolRun.objects.overdue()] == [late.id]


def test_a_run_that_needs_no_person_cannot_be_answered(turn: Turn) -> None:
    assert not answer(opened(turn), State.REFUSED)


def test_of_two_engine_calls_only_one_claims_the_run(turn: Turn) -> None:
    run = opened(turn)
    assert [claim_run(run), claim_run(run)] == [True, False]
    assert not ToolRun.objects.unclaimed().exists()


def test_a_claimed_run_does_not_expire(turn: Turn) -> None:
    run = opened(turn)
    assert claim_run(ToolRun.objects.get(id=run.id))
    assert not expire_run(run, refusal="Too late.")
    assert ToolRun.objects.get(id=run.id).state == State.RUNNING


def test_an_answered_run_does_not_expire_with_its_time(turn: Turn) -> None:
    run = opened(turn, needs_approval=True)
    assert answer(run, State.REFUSED)
    assert not expire_run(run)
    assert ToolRun.objects.never_run().get().state == State.REFUSED
