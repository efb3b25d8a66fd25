"""Many concurrent replies that ignore their bound exceed a budget by no more than one of them."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tests.cast import Cast
from gateway.calls.bounds import Bounds
from gateway.calls.late_counts import reading_on
from gateway.calls.metered import Held, metered_call
from gateway.calls.tests.test_charges import model_at, reachable
from gateway.calls.tests.test_cut_off import END, REQUEST, piece
from gateway.providers.base import Finish, TextDelta
from gateway.providers.sizes import most_streamed
from gateway.providers.tests.scripted_http import Answer, ScriptedServer
from kit.tenancy import in_public
from quotas.ledger_audit import check_ledger
from quotas.models import BudgetWindow, Hold, Price, UsageRecord
from quotas.planned_calls import Payer, PlannedCall
from quotas.reservations import close_turn, open_turn
from quotas.tests.ledger import limit_to

pytestmark = pytest.mark.django_db(transaction=True)
BOUNDS = Bounds(prompt=40, output=16)
HELD = BOUNDS.prompt + BOUNDS.output
CALL = PlannedCall("compatible", "compatible", "m", BOUNDS.prompt, BOUNDS.output)
WORD = " internationalization"  # a token of a large vocabulary, and estimated as seven
TIMES = 1500  # that a piece is sent: more than any bound allows


@dataclass
class Ended:
    """How one call ended for its reader."""

    text: str = ""
    reason: str = ""


async def begin(cast: Cast) -> UUID:
    turn_id = uuid4()
    await in_public(
        open_turn,
        turn_id=turn_id,
        payer=Payer.of(cast.alice.principal),
        call=CALL,
        purpose="chat",
        engine="direct",
        lease_seconds=60,
    )
    return turn_id


async def read(
    cast: Cast,
    turn_id: UUID,
    url: str,
    leaves_after: int | None = None,
    all_held: asyncio.Barrier | None = None,
) -> Ended:
    """Sends nothing until all calls are held: the excess of one may leave no budget for a later hold."""
    ended = Ended()
    call = metered_call(
        tenant=cast.alice.principal.tenant,
        turn_id=turn_id,
        models=[model_at(url, "compatible")],
        request=REQUEST,
        bounds=BOUNDS,
    )
    async with aclosing(call) as events:
        async for event in events:
            if isinstance(event, Held) and all_held is not None:
                await all_held.wait()
            elif isinstance(event, TextDelta):
                ended.text += event.text
            elif isinstance(event, Finish):
                ended.reason = event.reason
            if leaves_after is not None and len(ended.text) > leaves_after:
                break
    await in_public(close_turn, turn_id=turn_id)
    return ended


async def flood(
    cast: Cast, pieces: Sequence[str], calls: int, leaves_after: int | None = None
) -> list[Ended]:
    """Runs concurrent calls, each answered with the pieces over and over."""
    turns = [await begin(cast) for _ in range(calls)]
    wire = [piece({"content": text}) for text in pieces]
    async with ScriptedServer() as upstream:
        upstream.answers = [Answer([*(wire * (TIMES // len(wire))), END]) for _ in range(calls)]
        with reachable(upstream.port):
            held = asyncio.Barrier(calls)
            reads = (read(cast, turn, upstream.url, leaves_after, held) for turn in turns)
            ended = await asyncio.gather(*reads)
            await reading_on().settle_all()
    return ended


def figures(metric: str) -> tuple[int, int]:
    window = BudgetWindow.objects.get(metric=metric, window="month", level="workspace")
    return window.used, window.reserved


def check_budget(limit: int, metric: str = "tokens", price: int = 1, extra: int = 0) -> None:
    """The last line before each call's cut, `extra` tokens in total, is charged as well."""
    used, reserved = figures(metric)
    assert reserved == 0
    assert used <= limit + price * (most_streamed(BOUNDS.output) + extra)
    assert most_streamed(BOUNDS.output) < BOUNDS.most
    assert not Hold.objects.filter(state__in=Hold.LIVE).exists()
    assert check_ledger().differences == []


FLOODS = {
    "words": ["word "],
    "letters": ["w"],
    "lines": ["A line of a common length, as models send them. " * 4],
    "kilobytes": ["word " * 200],
    "symbols": ["{};" * 20],
}


@pytest.mark.parametrize(
    ("kind", "spare"),
    [("lines", 500), *(pytest.param(kind, 0, marks=pytest.mark.slow) for kind in FLOODS)],
)
def test_many_floods_exceed_a_budget_by_at_most_one_of_them(cast: Cast, kind: str, spare: int) -> None:
    limit = 12 * HELD + spare
    limit_to(cast.alice, limit)
    ended = asyncio.run(flood(cast, FLOODS[kind], 12))
    assert {end.reason for end in ended} == {"length"}
    check_budget(limit, extra=12 * len(FLOODS[kind][0]))
    assert figures("tokens")[0] > limit, "the provider's work was not paid for"
    lines = list(UsageRecord.objects.all())
    assert {line.flag for line in lines} == {"cut_off"}
    assert sum(line.output_tokens for line in lines) >= 0.9 * sum(len(end.text) for end in ended) / 5


def test_a_cost_budget_is_not_exceeded_either(cast: Cast) -> None:
    since = timezone.now() - timedelta(days=1)
    Price.objects.create(
        provider="compatible",
        model="m",
        input=10**6,
        output=5 * 10**6,
        reasoning=7 * 10**6,
        effective_from=since,
    )
    held = BOUNDS.prompt + BOUNDS.output * 7
    limit_to(cast.alice, 12 * held, metric="cost")
    ended = asyncio.run(flood(cast, FLOODS["lines"], 12))
    assert {end.reason for end in ended} == {"length"}
    check_budget(12 * held, "cost", price=7, extra=12 * len(FLOODS["lines"][0]))


def test_replies_that_are_read_on_are_covered_too(cast: Cast) -> None:
    limit_to(cast.alice, 12 * HELD)
    with override_settings(PROVIDER_READ_ON_SECONDS=5):
        asyncio.run(flood(cast, FLOODS["lines"], 12, leaves_after=10))
    check_budget(12 * HELD, extra=12 * len(FLOODS["lines"][0]))


def test_a_flood_may_use_the_rest_of_the_budget(cast: Cast) -> None:
    """A budget that covers the excess does not cut a reply before its own bound."""
    limit_to(cast.alice, 100_000)
    (ended,) = asyncio.run(flood(cast, FLOODS["lines"], 1))
    assert ended.reason == "length"
    assert len(ended.text) > 100 * BOUNDS.output
    used, _ = figures("tokens")
    assert used <= BOUNDS.most


def test_a_reply_within_its_bound_is_not_cut_off_by_a_used_up_budget(cast: Cast) -> None:
    limit_to(cast.alice, HELD)

    async def answer() -> Ended:
        turn_id = await begin(cast)
        async with ScriptedServer() as upstream:
            upstream.answers = [Answer([*[piece({"content": WORD})] * BOUNDS.output, END])]
            with reachable(upstream.port):
                return await read(cast, turn_id, upstream.url)

    ended = asyncio.run(answer())
    assert (ended.reason, ended.text) == ("stop", WORD * BOUNDS.output)


pieces = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=400), min_size=1, max_size=5)


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(pieces=pieces, calls=st.integers(2, 24), spare=st.integers(0, 3000), leaves=st.booleans())
def test_no_flood_exceeds_a_budget(
    cast: Cast, pieces: list[str], calls: int, spare: int, leaves: bool
) -> None:
    used = BudgetWindow.objects.filter(metric="tokens", window="month", level="workspace")
    limit = sum(used.values_list("used", flat=True)) + calls * HELD + spare
    limit_to(cast.alice, limit)
    with override_settings(PROVIDER_READ_ON_SECONDS=5):
        asyncio.run(flood(cast, pieces, calls, leaves_after=5 if leaves else None))
    check_budget(limit, extra=calls * max(len(piece({"content": text})) for text in pieces))
