"""Ways into a tenant: invitations to one address, links open for a while, and offers of ownership."""

from typing import ClassVar
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models.tenants import Membership, Tenant
from accounts.models.workspaces import Workspace, WorkspaceMember


class Invitation(models.Model):
    """For one address, once. Only a hash of its secret is kept: whoever holds the link reads that mail."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=10, choices=Membership.Role.choices, default=Membership.Role.MEMBER)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField()
    times_sent = models.PositiveSmallIntegerField(default=1)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "email"],
                name="one_open_invitation_an_address",
                condition=Q(accepted_at=None, revoked_at=None),
            ),
            models.CheckConstraint(
                condition=~Q(role=Membership.Role.OWNER), name="nobody_is_invited_as_owner"
            ),
        ]
        indexes = [models.Index(fields=["tenant", "-created_at", "-id"], name="invitation_tenant")]

    def __str__(self) -> str:
        return f"{self.email} to {self.tenant_id}"

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= timezone.now()


class InvitationPlace(models.Model):
    """A workspace that the invitation opens, and as what."""

    invitation = models.ForeignKey(Invitation, on_delete=models.CASCADE, related_name="places")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(
        max_length=10, choices=WorkspaceMember.Role.choices, default=WorkspaceMember.Role.EDITOR
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invitation", "workspace"], name="one_place_an_invitation"),
        ]

    def __str__(self) -> str:
        return f"{self.invitation_id} opens {self.workspace_id}"


class InvitationMail(models.Model):
    """That an invitation was mailed, for the limits: it stays when the invitation or the team goes.

    Whom it went to is stored as a keyed hash. A job deletes rows once no limit counts them any more.
    """

    tenant_id = models.UUIDField(editable=False)
    recipient_hash = models.CharField(max_length=64, editable=False)
    sent_at = models.DateTimeField(editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "sent_at"], name="invitation_mail_tenant"),
            models.Index(fields=["recipient_hash", "sent_at"], name="invitation_mail_recipient"),
            models.Index(fields=["sent_at"], name="invitation_mail_sent"),
        ]

    def __str__(self) -> str:
        return f"invitation mailed by {self.tenant_id} at {self.sent_at:%Y-%m-%d %H:%M}"


class WorkspaceLink(models.Model):
    """Opens a workspace to whoever has it: so many times, until then. One at a time in a workspace."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="links")
    role = models.CharField(
        max_length=10, choices=WorkspaceMember.Role.choices, default=WorkspaceMember.Role.EDITOR
    )
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    most_uses = models.PositiveIntegerField()
    uses = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace"], name="one_open_link_a_workspace", condition=Q(revoked_at=None)
            ),
            models.CheckConstraint(condition=Q(uses__lte=F("most_uses")), name="link_is_not_overused"),
            models.CheckConstraint(
                condition=~Q(role=WorkspaceMember.Role.MANAGER), name="no_link_makes_managers"
            ),
        ]

    def __str__(self) -> str:
        return f"link to {self.workspace_id}"


class OwnershipOffer(models.Model):
    """The owner offers the tenant to a member, who becomes its owner on accepting."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, related_name="ownership_offer")
    offered_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    offered_to = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.tenant_id} to {self.offered_to_id}"
