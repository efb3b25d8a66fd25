"""Emails the people concerned, once a window, when a soft limit is reached."""

from collections.abc import Iterable
from typing import Any

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.mail.links import site_link
from accounts.mail.services import send_mail
from accounts.models import ApiKey, Membership, Tenant, User, Workspace, WorkspaceMember
from quotas.amounts import amount_text
from quotas.models import Budget, BudgetWindow

log = structlog.get_logger(__name__)
Level = Budget.Level
MOST_RECIPIENTS = 20  # of one alert
WINDOWS = {Budget.Window.DAY: "today", Budget.Window.MONTH: "this month", Budget.Window.TOTAL: "in total"}


def send_alerts(counter_ids: Iterable[int]) -> None:
    """Queues the mails of each counter that has not alerted yet. Never fails: the next call tries again."""
    for counter_id in counter_ids:
        try:
            with transaction.atomic():
                _send_alert(counter_id)
        except Exception:
            log.exception("soft limit alert was not sent", counter_id=counter_id)


def _send_alert(counter_id: int) -> None:
    due = BudgetWindow.objects.filter(id=counter_id, alerted_at=None)
    if not due.update(alerted_at=timezone.now()):
        return
    counter = BudgetWindow.objects.get(id=counter_id)
    tenant = Tenant.objects.filter(id=counter.tenant_id).first()
    if tenant is None or counter.limit is None:
        return
    context = _context(counter, tenant)
    for person in _concerned(counter)[:MOST_RECIPIENTS]:
        send_mail("soft_limit", person.email, {**context, "person": person})


def _context(counter: BudgetWindow, tenant: Tenant) -> dict[str, Any]:
    most = (counter.limit or 0) + counter.granted
    return {
        "whose": _whose(counter, tenant),
        "used": amount_text(counter.metric, counter.used),
        "limit": amount_text(counter.metric, most),
        "percent": 100 * counter.used // most if most else 100,
        "when": WINDOWS[Budget.Window(counter.window)],
        "resets_at": counter.resets_at,
        "address": site_link(f"/t/{tenant.slug}/"),
    }


def _whose(counter: BudgetWindow, tenant: Tenant) -> str:
    match counter.level:
        case Level.WORKSPACE:
            return _named(Workspace.objects.filter(id=counter.subject_id), "workspace")
        case Level.API_KEY:
            return _named(ApiKey.objects.filter(id=counter.subject_id), "API key")
        case Level.MEMBER if counter.scope_id != counter.tenant_id:
            name = _named(Workspace.objects.filter(id=counter.scope_id), "workspace")
            return f"Your own budget in {name[0].lower()}{name[1:]}"
        case Level.MEMBER:
            return f"Your own budget in {tenant.name}"
    return f"The team {tenant.name}"


def _named(rows: QuerySet[Workspace] | QuerySet[ApiKey], kind: str) -> str:
    return f"The {kind} {rows.values_list('name', flat=True).first() or ''}".strip()


def _concerned(counter: BudgetWindow) -> QuerySet[User]:
    """A tenant's owners and admins, a workspace's managers, the member, the key's owner."""
    people = User.objects.filter(is_active=True, service_of=None).order_by("created_at", "id")
    in_charge = Membership.objects.filter(
        tenant=counter.tenant_id, role__in=[Membership.Role.OWNER, Membership.Role.ADMIN]
    )
    match counter.level:
        case Level.WORKSPACE:
            managers = WorkspaceMember.objects.filter(
                workspace=counter.subject_id, role=WorkspaceMember.Role.MANAGER
            )
            return people.filter(id__in=managers.values("user"))
        case Level.API_KEY:
            return people.filter(id__in=ApiKey.objects.filter(id=counter.subject_id).values("owner"))
        case Level.MEMBER:
            return people.filter(id=counter.subject_id)
    return people.filter(id__in=in_charge.values("user"))
