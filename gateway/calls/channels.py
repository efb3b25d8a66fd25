"""The NOTIFY channels by which processes tell each other to end a turn or one of its calls."""

from uuid import UUID

from kit.pg_notify import notify

TURN_STOP = "switchyard_turn_stop"  # payload: the turn's id
TURN_LEFT = "switchyard_turn_left"  # payload: the id of a turn that waits to be taken over
CALL_REPEATED = "switchyard_call_repeated"  # payload: turn id, fingerprint and the newer attempt's id


def notify_left(turn_id: UUID) -> None:
    """A stopping process has left a turn that its engine still runs."""
    notify(TURN_LEFT, str(turn_id))


def notify_stop(turn_id: UUID) -> None:
    """Sent when the surrounding transaction commits."""
    notify(TURN_STOP, str(turn_id))


def notify_repeat(turn_id: UUID, fingerprint: str, attempt: UUID) -> None:
    """Ends older attempts at the same call in favour of this one."""
    notify(CALL_REPEATED, f"{turn_id} {fingerprint} {attempt}")
