"""What was used: read from the sums of days, never from the ledger's lines."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import F, Sum
from django.utils import timezone

from kit.tenancy import TenantRef
from quotas.models import UsageDay
from quotas.windows import day_at


def used_this_month(tenant: TenantRef, workspace_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Tokens that each of a tenant's workspaces has used in its calendar month; one read for all."""
    first = day_at(timezone.now(), tenant.time_zone).replace(day=1)
    days = UsageDay.objects.filter(workspace_id__in=list(workspace_ids), day__gte=first)
    sums = days.values_list("workspace_id").annotate(tokens=Sum(F("input_tokens") + F("output_tokens")))
    return dict(sums.order_by())
