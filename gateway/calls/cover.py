"""Extends the hold of a reply that exceeds its output bound, as long as the budget allows it."""

import time
from functools import partial
from uuid import UUID

import structlog
from django.db import DatabaseError

from gateway.calls.bounds import Bounds
from gateway.providers.sizes import most_streamed
from kit.tenancy import TenantRef, in_tenant
from quotas.holds import extend_hold

log = structlog.get_logger(__name__)
RETRY_SECONDS = 2.0  # after a database failure


class Cover:
    """The hold of one call's output, in tokens.

    All calls together may exceed a budget by the most that one of them can stream. So a reply of full length
    that is estimated as longer than it is does not get cut off.
    """

    def __init__(self, tenant: TenantRef, call_id: UUID, bounds: Bounds) -> None:
        self._tenant, self._call_id = tenant, call_id
        self._held, self._most = bounds.output, bounds.most - bounds.prompt
        self._beyond = most_streamed(bounds.output)
        self._ask_at = 0.0

    async def reaches(self, streamed: int) -> bool:
        """Whether the hold covers the streamed output, after raising it if needed and allowed.

        While the database does not answer, the reply continues: it has a bound of its own.
        """
        if streamed <= self._held or time.monotonic() < self._ask_at:
            return True
        try:
            return await self._grow(streamed)
        except DatabaseError as exc:
            log.warning("a hold was not extended", call_id=str(self._call_id), error=type(exc).__name__)
            self._ask_at = time.monotonic() + RETRY_SECONDS
            return True

    async def _grow(self, streamed: int) -> bool:
        """Doubles the hold, so that a long reply needs few statements, or raises it to what is needed."""
        for output in sorted({min(2 * streamed, self._most), streamed}, reverse=True):
            wanted = partial(extend_hold, call_id=self._call_id, output_bound=output, beyond=self._beyond)
            if await in_tenant(self._tenant, wanted):
                self._held = output
                return True
        return False
