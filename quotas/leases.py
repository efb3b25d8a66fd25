"""Renews the leases of a process's turns and stores its streams' progress, on a separate connection.

Each is one statement. Locked rows are skipped, so that one lock does not prevent the rest from being renewed.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

from kit.postgresql.own_connection import own_connection

# An expired lease can be renewed until its turn is closed or taken over.
RENEW = """
    WITH due AS (
        SELECT id FROM quotas_reservation
        WHERE id = ANY(%(turns)s::uuid[]) AND state = 'open' AND holder = %(holder)s
        FOR NO KEY UPDATE SKIP LOCKED
    ), renewed AS (
        UPDATE quotas_reservation AS turn SET lease_expires_at = statement_timestamp() + %(lease)s
        FROM due WHERE turn.id = due.id
    )
    SELECT id FROM quotas_reservation
    WHERE id = ANY(%(turns)s::uuid[]) AND state = 'open' AND holder = %(holder)s
"""
NOTE = """
    WITH noted AS (
        SELECT * FROM unnest(%(calls)s::uuid[], %(tokens)s::bigint[]) AS noted(call_id, tokens)
    ), due AS (
        SELECT hold.id, noted.tokens FROM quotas_hold AS hold JOIN noted USING (call_id)
        WHERE hold.state = 'sent' FOR NO KEY UPDATE OF hold SKIP LOCKED
    )
    UPDATE quotas_hold AS hold SET streamed_tokens = due.tokens FROM due WHERE hold.id = due.id
    RETURNING hold.call_id
"""


async def renew_leases(turn_ids: Collection[UUID], *, holder: UUID, lease_seconds: int) -> set[UUID]:
    """Extends the leases by the database's clock; returns the turns that the holder has lost."""
    values = {"turns": list(turn_ids), "holder": holder, "lease": timedelta(seconds=lease_seconds)}
    ours = {row[0] for row in await own_connection().fetch(RENEW, values)}
    return set(turn_ids) - ours


async def note_streams(streamed: Mapping[UUID, int]) -> None:
    """Stores how many tokens of each call have streamed, for a write-off if this process dies."""
    values = {"calls": list(streamed), "tokens": list(streamed.values())}
    await own_connection().fetch(NOTE, values)
