"""Ways into a tenant: invitations to one address, invite links, and offers of ownership."""

from typing import ClassVar
from uuid import UUID, uuid4

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models.tenants import Membership, Tenant
from accounts.models.workspaces import Workspace, WorkspaceMember


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def pending(self) -> "InvitationQuerySet":
        """Neither accepted nor withdrawn; expired ones can be sent again."""
        return self.filter(accepted_at=None, revoked_at=None)

    def usable(self) -> "InvitationQuerySet":
        return self.pending().filter(expires_at__gt=timezone.now(), tenant__suspended_at=None)


class Invitation(models.Model):
    """For one address, once. Only a hash of the link's secret is stored."""

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

    objects = InvitationQuerySet.as_manager()

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


class InvitationWorkspaceQuerySet(models.QuerySet["InvitationWorkspace"]):
    def open(self) -> "InvitationWorkspaceQuerySet":
        return self.filter(workspace__archived_at=None).select_related("workspace")


class InvitationWorkspace(models.Model):
    """A workspace that the invited person joins, and the role there."""

    invitation = models.ForeignKey(Invitation, on_delete=models.CASCADE, related_name="workspaces")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(
        max_length=10, choices=WorkspaceMember.Role.choices, default=WorkspaceMember.Role.EDITOR
    )

    objects = InvitationWorkspaceQuerySet.as_manager()

    class Meta:
        db_table = "accounts_invitationplace"
        constraints = [
            models.UniqueConstraint(fields=["invitation", "workspace"], name="one_place_an_invitation"),
        ]

    def __str__(self) -> str:
        return f"{self.invitation_id} opens {self.workspace_id}"


class InvitationMail(models.Model):
    """One invitation mailed, for the limits; the row outlives the invitation and the team.

    The recipient is stored as a keyed hash. A job deletes rows that no limit counts any more.
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


class WorkspaceLinkQuerySet(models.QuerySet["WorkspaceLink"]):
    def current(self) -> "WorkspaceLinkQuerySet":
        """Not turned off or replaced; it may have expired or been used up."""
        return self.filter(revoked_at=None)

    def usable(self) -> "WorkspaceLinkQuerySet":
        return self.current().filter(
            expires_at__gt=timezone.now(),
            uses__lt=F("most_uses"),
            workspace__archived_at=None,
            workspace__tenant__suspended_at=None,
        )


class WorkspaceLink(models.Model):
    """An invite link: anyone who has it can join, `most_uses` times and until it expires. One a workspace."""

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

    objects = WorkspaceLinkQuerySet.as_manager()

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


class OwnershipOfferQuerySet(models.QuerySet["OwnershipOffer"]):
    def open(self, tenant_id: UUID) -> "OwnershipOfferQuerySet":
        """The tenant's offer that has not expired, with both people."""
        rows = self.filter(tenant=tenant_id, expires_at__gt=timezone.now())
        return rows.select_related("offered_by", "offered_to")


class OwnershipOffer(models.Model):
    """The owner offers the tenant to a member, who becomes its owner on accepting."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, related_name="ownership_offer")
    offered_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    offered_to = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    objects = OwnershipOfferQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.tenant_id} to {self.offered_to_id}"
