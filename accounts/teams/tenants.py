"""Creates tenants (each with a schema copied from the template) and workspaces; changes tenants."""

from functools import partial
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from accounts.audit import services as audit
from accounts.models import Membership, Tenant, User, Workspace, WorkspaceMember
from accounts.models.tenants import schema_name_for
from accounts.policy import Action, expect
from accounts.principals import Principal
from accounts.teams.inputs import TenantChange
from accounts.teams.limits import expect_founder, expect_network, note_founding
from accounts.teams.members import acting
from accounts.teams.schema_script import run_script
from accounts.teams.schema_template import template_script
from accounts.teams.slugs import chosen_slug, free_slug
from kit.tenancy import TenantRef

# Slugs are chosen one at a time, so that two sign-ups of the same name do not collide.
LOCK_TIMEOUT_SECONDS = 20
SLUG_LOCK = 7_301_001


def find_tenant(tenant_id: UUID) -> TenantRef | None:
    """The tenant as plain data."""
    tenant = Tenant.objects.filter(id=tenant_id).first()
    return tenant.ref if tenant else None


def all_tenants() -> list[TenantRef]:
    """The active ones, for jobs that run in each."""
    return [tenant.ref for tenant in Tenant.objects.active().order_by("id")]


def create_tenant(*, name: str, owner: User, is_founded: bool) -> Tenant:
    """A tenant with its own schema (0.05 s), owned by `owner`; everything or nothing.

    `is_founded`: by the owner themselves, within the limits; otherwise by an operator, who has none.
    """
    with transaction.atomic():
        lock_slugs()
        if is_founded:
            expect_network()
            expect_founder(owner)
        slug = free_slug(name, fallback="team", taken=lambda s: Tenant.objects.filter(slug=s).exists())
        tenant = Tenant(slug=slug, name=name)
        if is_founded:
            tenant.founder_id = owner.id
            note_founding()
        tenant.schema_name = schema_name_for(tenant.id)
        template = template_script()
        tenant.migrated_to = template.version
        tenant.save(verbosity=0)
        run_script(template.script, schema=tenant.schema_name)
        Membership.objects.create(tenant=tenant, user=owner, role=Membership.Role.OWNER)
    return tenant


def create_workspace(*, tenant: Tenant, name: str, manager: User, slug: str = "") -> Workspace:
    """A workspace managed by `manager`; without a `slug`, one is made from the name.

    InvalidInput for a slug that is not allowed, Conflict for one that is or was in use.
    """
    with transaction.atomic():
        lock_slugs()
        present = Workspace.objects.filter(tenant=tenant)

        def taken(candidate: str) -> bool:
            return present.filter(slug=candidate).exists()

        free = partial(free_slug, name, fallback="workspace")
        chosen = chosen_slug(slug, taken=taken) if slug else free(taken=taken)
        workspace = Workspace.objects.create(tenant=tenant, slug=chosen, name=name)
        WorkspaceMember.objects.create(workspace=workspace, user=manager, role=WorkspaceMember.Role.MANAGER)
        Tenant.objects.filter(id=tenant.id, default_workspace=None).update(default_workspace=workspace)
    return workspace


@transaction.atomic
def suspend_tenant(*, tenant: Tenant, actor_id: UUID) -> None:
    """No token or session gives access from now on; the data stays."""
    if Tenant.objects.active().filter(id=tenant.id).update(suspended_at=timezone.now()):
        audit.record("tenant.suspended", actor_id=actor_id, tenant_id=tenant.id, target=tenant.slug)


@transaction.atomic
def unsuspend_tenant(*, tenant: Tenant, actor_id: UUID) -> None:
    """Members have access again, as before."""
    if Tenant.objects.filter(id=tenant.id).exclude(suspended_at=None).update(suspended_at=None):
        audit.record("tenant.unsuspended", actor_id=actor_id, tenant_id=tenant.id, target=tenant.slug)


def tenant_of(principal: Principal) -> Tenant:
    expect(principal, Action.TENANT_VIEW)
    tenant: Tenant = Tenant.objects.select_related("default_workspace").get(id=principal.tenant.id)
    return tenant


def change_tenant(*, principal: Principal, change: TenantChange) -> Tenant:
    """Changes the name or what happens to a leaver's conversations."""
    wanted = {"name": change.name, "departed_conversations": change.departed_conversations}
    with acting(principal, Action.TENANT_CHANGE) as actor:
        tenant = tenant_of(actor)
        changes = audit.change(tenant, wanted, wanted)
        if changes:
            Tenant.objects.filter(id=tenant.id).update(**{field: new for field, (_, new) in changes.items()})
            audit.record(
                "tenant.changed", principal=actor, of_tenant=True, target=tenant.slug, changes=changes
            )
    return tenant_of(principal)


def rename_tenant(*, tenant: Tenant, name: str) -> None:
    """By an update: django-tenants' `save` refuses while another tenant's schema is entered."""
    Tenant.objects.filter(id=tenant.id).update(name=name)


def lock_slugs() -> None:
    """Until the transaction ends. Waits longer than other statements: many may sign up at the same time."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SLUG_LOCK])
