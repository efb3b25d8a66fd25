"""Refusals in the audit: the first in a minute gets an entry, its repeats one more with their count.

An entry never changes, so its count cannot grow: repeats are counted exactly, in a row of their own, until
the minute is over. Repeated refusals can neither bury other entries nor fill the table.
"""

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.utils import timezone

from accounts.audit import services as audit
from accounts.models import AuditEntry, Refusal
from accounts.principals import Principal
from kit.networks import network_of

MINUTE = timedelta(minutes=1)
BATCH = 500  # rows in one transaction
COUNT_ONE = """
    INSERT INTO public.accounts_refusal (key, minute, repeats, entry, workspace_id, target)
    VALUES (%s, %s, 0, %s::jsonb, %s, %s)
    ON CONFLICT (key, minute) DO UPDATE SET
        repeats = accounts_refusal.repeats + 1,
        workspace_id = CASE WHEN accounts_refusal.workspace_id = EXCLUDED.workspace_id
            THEN EXCLUDED.workspace_id END,
        target = CASE WHEN accounts_refusal.target = EXCLUDED.target THEN EXCLUDED.target ELSE '' END
    RETURNING repeats
"""


def record_refusal(
    action: str,
    *,
    code: str,
    principal: Principal | None = None,
    actor_id: UUID | None = None,
    tenant_id: UUID | None = None,
    workspace_id: UUID | None = None,
    target: str = "",
    reason: str = "",
) -> None:
    """As `audit.record`. Each error code is counted separately, so there must be few of them."""
    details: dict[str, Any] = {"code": code, **({"reason": reason} if reason else {})}
    fields = audit.entry_fields(
        action,
        principal=principal,
        actor_id=actor_id,
        tenant_id=tenant_id,
        workspace_id=workspace_id,
        target=target,
        **details,
    )
    minute = timezone.now().replace(second=0, microsecond=0)
    key = _key(fields, code)
    with transaction.atomic():
        if _count(key, minute, fields):
            return
        AuditEntry.objects.create(**fields)
        write_repeats(of=key)


def write_repeats(*, of: str | None = None) -> None:
    """Adds the entries for minutes that are over: of all keys, or of one."""
    over = Refusal.objects.filter(minute__lt=timezone.now().replace(second=0, microsecond=0))
    rows = over if of is None else over.filter(key=of)
    while _write_batch(rows.order_by("minute")):
        pass


def _write_batch(rows: Any) -> bool:
    with transaction.atomic():
        batch = list(rows.select_for_update(skip_locked=True)[:BATCH])
        AuditEntry.objects.bulk_create(_repeated(row) for row in batch if row.repeats)
        Refusal.objects.filter(id__in=[row.id for row in batch]).delete()
    return len(batch) == BATCH


def _repeated(row: Refusal) -> AuditEntry:
    since, until = row.minute.isoformat(), (row.minute + MINUTE).isoformat()
    fields = {**row.entry, "workspace_id": row.workspace_id, "target": row.target, "count": row.repeats}
    fields["details"] = {**fields["details"], "since": since, "until": until}
    return AuditEntry(**fields)


def _key(fields: dict[str, Any], code: str) -> str:
    """Without workspace and target, which the caller chooses and could vary without end.

    Someone who is not signed in is known only by their network.
    """
    who = fields["actor_id"] or network_of(fields["address"] or "")
    parts = (fields["tenant_id"], who, fields["action"], code)
    return hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()


def _count(key: str, minute: datetime, fields: dict[str, Any]) -> int:
    """Counts the refusal; returns how many came before it in this minute."""
    workspace_id: UUID | None = fields["workspace_id"]
    entry = json.dumps(fields, cls=DjangoJSONEncoder)
    with connection.cursor() as cursor:
        cursor.execute(COUNT_ONE, [key, minute, entry, workspace_id, fields["target"]])
        (repeats,) = cursor.fetchone()
    return int(repeats)
