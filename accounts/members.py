"""Takes people out of tenants."""

from django.db import transaction

from accounts.models import Membership, WorkspaceMember


@transaction.atomic
def remove_member(*, membership: Membership) -> None:
    """Out of the tenant and of all its workspaces, so that coming back later restores nothing unasked."""
    WorkspaceMember.objects.filter(
        user_id=membership.user_id, workspace__tenant_id=membership.tenant_id
    ).delete()
    membership.delete()
