"""Reads the audit: the entries of a tenant or workspace, filtered by action, actor and time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from accounts.models import AuditEntry
from accounts.policy import Action, expect
from accounts.principals import Principal
from kit.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class AuditFilter:
    action: str = ""
    actor: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> "AuditFilter":
        """From query parameters; InvalidInput names a wrong one."""
        return cls(
            action=query.get("action", "").strip()[:60],
            actor=query.get("actor", "").strip().lower()[:254],
            since=_moment("since", query.get("since", "")),
            until=_moment("until", query.get("until", "")),
        )

    def apply(self, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        if self.action.endswith("*"):
            rows = rows.filter(action__startswith=self.action.removesuffix("*"))
        elif self.action:
            rows = rows.filter(action=self.action)
        if self.actor:
            rows = rows.filter(actor_email=self.actor)
        if self.since:
            rows = rows.filter(at__gte=self.since)
        if self.until:
            rows = rows.filter(at__lt=self.until)
        return rows


def entries_of(principal: Principal) -> QuerySet[AuditEntry]:
    expect(principal, Action.AUDIT_VIEW)
    return AuditEntry.objects.filter(tenant=principal.tenant.id).select_related("workspace")


def entries_in(principal: Principal) -> QuerySet[AuditEntry]:
    """The entries of the principal's workspace."""
    expect(principal, Action.AUDIT_WORKSPACE)
    rows = AuditEntry.objects.filter(tenant=principal.tenant.id, workspace=principal.workspace.id)
    return rows.select_related("workspace")


def _moment(name: str, text: str) -> datetime | None:
    """Accepts a space for `+`, which is how a query string decodes it."""
    try:
        moment = parse_datetime(text.strip().replace(" ", "+")) if text else None
    except ValueError:
        moment = None
    if text and (moment is None or moment.tzinfo is None or not 1970 <= moment.year <= 9000):
        raise InvalidInput(**{name: ["Use a moment with its zone, as in 2026-05-01T12:00:00Z."]})
    return moment
