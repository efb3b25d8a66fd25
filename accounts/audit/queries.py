"""Reads the audit: a tenant's entries, narrowed by action, actor and time."""

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
    def parse(cls, wanted: Mapping[str, str]) -> "AuditFilter":
        """From an address's parameters; InvalidInput names a wrong one."""
        return cls(
            action=wanted.get("action", "").strip()[:60],
            actor=wanted.get("actor", "").strip().lower()[:254],
            since=_moment("since", wanted.get("since", "")),
            until=_moment("until", wanted.get("until", "")),
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


def entries_in(place: Principal) -> QuerySet[AuditEntry]:
    """Those of one workspace."""
    expect(place, Action.AUDIT_WORKSPACE)
    rows = AuditEntry.objects.filter(tenant=place.tenant.id, workspace=place.workspace.id)
    return rows.select_related("workspace")


def _moment(name: str, text: str) -> datetime | None:
    """A `+` that an address turned into a space is put back."""
    try:
        moment = parse_datetime(text.strip().replace(" ", "+")) if text else None
    except ValueError:
        moment = None
    if text and (moment is None or moment.tzinfo is None or not 1970 <= moment.year <= 9000):
        raise InvalidInput(
            **{name: ["Enter a date and time with a time zone, for example 2026-05-01T12:00:00Z."]}
        )
    return moment
