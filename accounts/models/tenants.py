"""Tenants, each with a schema of its own, and their members."""

from uuid import UUID, uuid4

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django_tenants.models import DomainMixin, TenantMixin

from kit.tenancy import TenantRef

SLUG_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$"
valid_slug = RegexValidator(
    SLUG_PATTERN,
    "Use 1 to 40 lowercase letters, digits and hyphens. Begin and end with a letter or digit.",
)


def schema_name_for(tenant_id: UUID) -> str:
    """By id, not slug, so that no tenant inherits a predecessor's data."""
    return f"t_{tenant_id.hex}"


class TenantQuerySet(models.QuerySet["Tenant"]):
    def active(self) -> "TenantQuerySet":
        """Not suspended."""
        return self.filter(suspended_at=None)


class Tenant(TenantMixin):
    class Departed(models.TextChoices):
        """What happens to private conversations and prompts when a member leaves."""

        KEEP = "keep", "Keep them for export"
        DELETE = "delete", "Delete them after the grace period"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    slug = models.CharField(max_length=40, unique=True, validators=[valid_slug])
    name = models.CharField(max_length=100)
    departed_conversations = models.CharField(max_length=10, choices=Departed.choices, default=Departed.KEEP)
    default_workspace = models.ForeignKey(
        "accounts.Workspace",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="New members without another workspace join this one.",
    )
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="IANA name. Budgets and usage use its days and months."
    )
    founder_id = models.UUIDField(
        null=True,
        editable=False,
        db_index=True,
        help_text="The person who created it by signing up",
    )
    suspended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    migrated_to = models.CharField(
        max_length=64, default="", editable=False
    )  # accounts.teams.schema_template.version()

    objects = TenantQuerySet.as_manager()

    # `accounts.teams.tenants.create_tenant` copies the template schema; nothing ever drops one.
    auto_create_schema = False
    auto_drop_schema = False

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(schema_name__regex=r"^[a-z][a-z0-9_]{1,40}$"),
                name="tenant_schema_name_is_plain",
            ),
            models.CheckConstraint(condition=models.Q(slug__regex=SLUG_PATTERN), name="tenant_slug_is_plain"),
        ]
        indexes = [models.Index(fields=["created_at"], name="tenant_created")]

    def __str__(self) -> str:
        return self.slug

    @property
    def ref(self) -> TenantRef:
        return TenantRef(id=self.id, slug=self.slug, schema_name=self.schema_name, time_zone=self.time_zone)


class Founding(models.Model):
    """A team founded from this network, or a sign-up attempt with an address that has an account.

    For the daily limit; a job deletes rows that it no longer counts.
    """

    network = models.CharField(max_length=64, help_text="In the format of kit.networks")
    at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["network", "-at"], name="founding_network"),
            models.Index(fields=["at"], name="founding_at"),
        ]

    def __str__(self) -> str:
        return f"{self.network} at {self.at:%Y-%m-%d %H:%M}"


class SchemaScript(models.Model):
    """The template schema as one SQL script; a tenant's schema is created by running it."""

    schema_name = models.CharField(max_length=63, primary_key=True)
    script = models.TextField()
    version = models.CharField(max_length=64)  # the migrations that the template had
    stored_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.schema_name} at {self.version[:12]}"


class Domain(DomainMixin):
    """django-tenants wants this model; routing is by path, so there are no rows."""


class MembershipQuerySet(models.QuerySet["Membership"]):
    def of_tenant(self, tenant_id: UUID) -> "MembershipQuerySet":
        """With the user of each, which most callers need."""
        return self.filter(tenant=tenant_id).select_related("user")

    def active(self) -> "MembershipQuerySet":
        """Of users who are not deactivated."""
        return self.filter(user__is_active=True)

    def owners(self) -> "MembershipQuerySet":
        return self.filter(role=Membership.Role.OWNER)


class Membership(models.Model):
    """A person belongs to a tenant."""

    class Role(models.TextChoices):
        OWNER = "owner"
        ADMIN = "admin"
        MEMBER = "member"
        GUEST = "guest"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "tenant"], name="one_membership_a_tenant"),
        ]
        indexes = [models.Index(fields=["tenant", "created_at", "id"], name="membership_tenant")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.tenant_id} as {self.role}"

    @property
    def is_last_owner(self) -> bool:
        """Costs a query for an owner."""
        if self.role != self.Role.OWNER:
            return False
        others = Membership.objects.of_tenant(self.tenant_id).owners().exclude(id=self.id)
        return not others.exists()
