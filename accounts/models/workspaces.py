"""A workspace of a tenant, with its own models, conversations and budget, and its members."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from django.conf import settings
from django.db import models

from accounts.models.tenants import SLUG_PATTERN, Tenant, valid_slug


@dataclass(frozen=True, slots=True)
class WorkspaceRef:
    """A workspace as plain data."""

    id: UUID
    slug: str
    name: str


class WorkspaceQuerySet(models.QuerySet["Workspace"]):
    def existing(self) -> "WorkspaceQuerySet":
        """Not deleted for good; archived ones can be restored."""
        return self.filter(deleted_at=None)

    def open(self) -> "WorkspaceQuerySet":
        """Members may enter. A deleted workspace is always archived as well."""
        return self.filter(archived_at=None, deleted_at=None)


class Workspace(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="workspaces")
    slug = models.CharField(max_length=40, validators=[valid_slug])
    name = models.CharField(max_length=100)
    archived_at = models.DateTimeField(null=True, blank=True)
    delete_after = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When its content is deleted, unless it is restored.",
    )
    conversations_deleted = models.PositiveIntegerField(
        default=0, editable=False, help_text="So far. The audit gets the total at the end."
    )
    deleted_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="The row remains, so that its slug is never reused."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WorkspaceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="one_workspace_a_slug"),
            models.CheckConstraint(
                condition=models.Q(slug__regex=SLUG_PATTERN), name="workspace_slug_is_plain"
            ),
        ]
        indexes = [
            models.Index(fields=["created_at"], name="workspace_created"),
            models.Index(fields=["tenant", "created_at", "id"], name="workspace_tenant"),
            models.Index(
                fields=["delete_after"], name="workspace_to_delete", condition=models.Q(deleted_at=None)
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def ref(self) -> WorkspaceRef:
        return WorkspaceRef(id=self.id, slug=self.slug, name=self.name)


class WorkspaceMemberQuerySet(models.QuerySet["WorkspaceMember"]):
    def enterable(self) -> "WorkspaceMemberQuerySet":
        """Nothing about the user, workspace or tenant keeps the member out; membership is not checked."""
        return self.filter(
            user__is_active=True,
            workspace__archived_at=None,
            workspace__tenant__suspended_at=None,
        )


class WorkspaceMember(models.Model):
    """A member of the tenant may enter this workspace."""

    class Role(models.TextChoices):
        MANAGER = "manager"
        EDITOR = "editor"
        VIEWER = "viewer"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="workspace_memberships"
    )
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.EDITOR)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WorkspaceMemberQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "workspace"], name="one_place_a_workspace"),
        ]
        indexes = [models.Index(fields=["workspace", "created_at", "id"], name="place_workspace")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.workspace_id} as {self.role}"
