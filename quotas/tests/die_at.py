"""A separate process that takes a turn to one state, reports it, and waits to be killed."""

import os
import sys
from uuid import UUID

import django

if __name__ == "__main__":
    django.setup()

from django.db import transaction

from quotas.hold_states import mark_sent, settle_call
from quotas.holds import hold_call
from quotas.planned_calls import Payer
from quotas.prices import Usage
from quotas.reservations import open_turn
from quotas.tests.ledger import note_streamed, planned_call

PROMPT, OUTPUT, STREAMED = 10, 20, 7
# The tokens in the ledger after the turn has been reaped, if any.
STATES: dict[str, int | None] = {
    "opening": None,  # in the transaction that admits it
    "held": None,
    "adopted": None,
    "sent": PROMPT,
    "streaming": PROMPT + STREAMED,
    "settling": PROMPT + STREAMED,  # in a transaction that settles it
    "settled": 13,
}


def take_to(state: str, payer: Payer, turn: UUID, call: UUID) -> None:
    order = list(STATES)
    reached = order.index(state)
    planned = planned_call(PROMPT, OUTPUT)
    with transaction.atomic():
        open_turn(turn_id=turn, payer=payer, call=planned, purpose="chat", engine="direct", lease_seconds=60)
        if state == "opening":
            wait_for_the_end()
    if reached >= order.index("adopted"):
        hold_call(turn_id=turn, call_id=call, call=planned)
    if reached >= order.index("sent"):
        mark_sent(call_id=call)
    if reached >= order.index("streaming"):
        note_streamed(call_id=call, streamed_tokens=STREAMED)
    if reached >= order.index("settling"):
        with transaction.atomic():
            settle_call(call_id=call, usage=Usage(8, 5))
            if state == "settling":
                wait_for_the_end()
    wait_for_the_end()


def wait_for_the_end() -> None:
    with os.fdopen(int(sys.argv[1]), "w") as ready:
        ready.write("ready\n")
    sys.stdin.read()


if __name__ == "__main__":
    state, *ids = sys.argv[2:]
    tenant, workspace, user, turn, call = (UUID(one) for one in ids)
    take_to(state, Payer(tenant, workspace, user), turn, call)
