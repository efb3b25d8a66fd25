"""The channels by which processes tell each other that a turn, or one of its calls, is to end now."""

from uuid import UUID

from kit.pg_notify import notify

TURN_STOP = "switchyard_turn_stop"  # payload: the turn's id
CALL_REPEATED = "switchyard_call_repeated"  # payload: turn id, fingerprint and the newer attempt's id


TURN_LEFT = "switchyard_turn_left"  # payload: the id of a turn that waits to be adopted


def notify_left(turn_id: UUID) -> None:
    """A process that stops has left a turn which its engine carries on."""
    notify(TURN_LEFT, str(turn_id))


def notify_stop(turn_id: UUID) -> None:
    """Sent when the surrounding transaction commits."""
    notify(TURN_STOP, str(turn_id))


def notify_repeat(turn_id: UUID, fingerprint: str, attempt: UUID) -> None:
    """The older attempts at the same call give way to this one."""
    notify(CALL_REPEATED, f"{turn_id} {fingerprint} {attempt}")
