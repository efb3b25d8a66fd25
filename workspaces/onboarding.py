"""Sign-up: an account and a tenant with a plan, a workspace and the local model; everything or nothing."""

from dataclasses import dataclass
from typing import cast
from uuid import uuid4

from django.db import transaction

from accounts.audit import services as audit
from accounts.email_addresses import normal_address
from accounts.errors import EmailTaken
from accounts.models import Tenant, User, Workspace
from accounts.policy import Action
from accounts.principals import Principal, find_principal, in_workspace
from accounts.sign_in.users import create_account, mail_account_exists, send_verification
from accounts.teams.limits import expect_network, note_founding
from accounts.teams.members import acting
from accounts.teams.tenants import create_tenant, create_workspace
from kit.errors import Conflict, InvalidInput
from kit.tenancy import tenant_scope
from quotas.plans import default_plan, give_plan
from workspaces.inputs import FIRST_WORKSPACE, SignUp
from workspaces.language_models.installation import install_local_embedding_model, install_local_model

LONGEST_NAME = 100
MOST_WORKSPACES = 500


@dataclass(frozen=True, slots=True)
class TenantWorkspace:
    """A tenant and its first workspace."""

    tenant: Tenant
    workspace: Workspace


def sign_up(*, new: SignUp) -> Principal:
    """Creates the account and its team; EmailTaken, RateLimited or InvalidInput leave nothing behind."""
    address = normal_address(new.email)
    expect_network()  # before the address is looked up, so that a refusal does not reveal an account
    with transaction.atomic():
        user = create_account(email=address, password=new.password, name=new.name, verified=False)
        opened = open_tenant(owner=user, tenant_name=new.tenant_name, workspace_name=new.workspace_name)
        send_verification(user)
    principal = find_principal(
        user_id=user.id, tenant_slug=opened.tenant.slug, workspace_slug=opened.workspace.slug
    )
    return cast("Principal", principal)  # its owner may enter it


def sign_up_quietly(*, new: SignUp) -> None:
    """As `sign_up`, without revealing whether the address has an account: its owner is notified by mail.

    For a known address the same work is done and undone, so that the time reveals nothing either.
    """
    try:
        sign_up(new=new)
    except EmailTaken:
        rehearse_sign_up(
            password=new.password,
            name=new.name,
            tenant_name=new.tenant_name,
            workspace_name=new.workspace_name,
        )
        mail_account_exists(normal_address(new.email))


def rehearse_sign_up(*, password: str, name: str, tenant_name: str, workspace_name: str) -> None:
    """Signs up an address that belongs to no one and rolls back; counts against the network's limit."""
    with transaction.atomic():
        user = create_account(
            email=f"{uuid4().hex}@rehearsal.invalid", password=password, name=name, verified=False
        )
        open_tenant(owner=user, tenant_name=tenant_name, workspace_name=workspace_name)
        transaction.set_rollback(True)
    note_founding()


def open_tenant_for(*, email: str, name: str, tenant_name: str, workspace_name: str) -> TenantWorkspace:
    """By an operator, for a known account or a new one that has no password yet."""
    address = normal_address(email)
    named = {"name": name, "tenant_name": tenant_name, "workspace_name": workspace_name}
    wrong = [field for field, text in named.items() if len(text) > LONGEST_NAME or "\0" in text]
    if wrong or not tenant_name.strip():
        raise InvalidInput(f"A name must have 1 to {LONGEST_NAME} characters.")
    with transaction.atomic():
        known = User.objects.filter(email=address).first()
        owner = known or create_account(email=address, password=None, name=name, verified=False)
        return open_tenant(
            owner=owner, tenant_name=tenant_name, workspace_name=workspace_name, is_founded=False
        )


def open_tenant(
    *, owner: User, tenant_name: str, workspace_name: str, is_founded: bool = True
) -> TenantWorkspace:
    """A tenant of the owner's own, ready to chat in; `is_founded` as in `create_tenant`.

    Conflict if the person has founded as many as allowed, RateLimited if their network has today.
    """
    with transaction.atomic():
        tenant = create_tenant(name=tenant_name, owner=owner, is_founded=is_founded)
        give_plan(tenant=tenant, plan=default_plan())
        name = workspace_name or FIRST_WORKSPACE
        workspace = create_workspace_with_model(tenant=tenant, name=name, manager=owner)
        audit.record(
            "user.signed_up",
            actor_id=owner.id,
            tenant_id=tenant.id,
            workspace_id=workspace.id,
            target=tenant.slug,
        )
    return TenantWorkspace(tenant=tenant, workspace=workspace)


def create_workspace_with_model(*, tenant: Tenant, name: str, manager: User, slug: str = "") -> Workspace:
    """With the built-in models enabled, so that it can be used immediately."""
    with transaction.atomic():
        workspace = create_workspace(tenant=tenant, name=name, manager=manager, slug=slug)
        with tenant_scope(tenant.ref):
            install_local_model(workspace_id=workspace.id)
            install_local_embedding_model(workspace_id=workspace.id)
    return workspace


def open_workspace(*, principal: Principal, name: str, slug: str = "") -> Principal:
    """A new workspace that the principal manages; returns the principal in it."""
    with acting(principal, Action.WORKSPACE_CREATE) as actor:
        if Workspace.objects.existing().filter(tenant=actor.tenant.id).count() >= MOST_WORKSPACES:
            raise Conflict(f"A team can have at most {MOST_WORKSPACES} workspaces.")
        workspace = create_workspace_with_model(
            tenant=Tenant.objects.get(id=actor.tenant.id),
            name=name,
            manager=User.objects.get(id=actor.user_id),
            slug=slug,
        )
        audit.record("workspace.created", principal=actor, workspace_id=workspace.id, target=workspace.slug)
        return in_workspace(principal, workspace.slug)  # in the transaction: NotFound undoes it
