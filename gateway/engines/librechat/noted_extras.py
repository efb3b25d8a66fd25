"""Sources and images of a reply, which LibreChat drops and the egress stored with the turn."""

import structlog
from django.db import DatabaseError

from gateway.engines.base import TurnJob
from gateway.models import Turn
from gateway.providers.base import Extra, JsonObject
from kit.tenancy import in_tenant

log = structlog.get_logger(__name__)


async def noted_extras(job: TurnJob) -> list[Extra]:
    """Those that the reply lacks so far."""
    try:
        entries = await in_tenant(job.tenant, _read, job)
    except DatabaseError as exc:
        log.warning("extras could not be read", turn_id=str(job.turn_id), error=type(exc).__name__)
        return []
    extras = [Extra(entry["place"], entry["name"], entry["value"]) for entry in entries]
    return [extra for extra in extras if extra not in job.reply_so_far]


def _read(job: TurnJob) -> list[JsonObject]:
    return Turn.objects.filter(id=job.turn_id).values_list("extras", flat=True).first() or []
