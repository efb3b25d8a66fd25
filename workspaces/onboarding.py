"""Signing up: a person, a tenant with its first workspace, the local model and a plan, or nothing."""

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
from accounts.sign_in.users import create_account, send_verification, tell_of_account
from accounts.teams.limits import expect_network, note_founding
from accounts.teams.members import acting
from accounts.teams.tenants import create_tenant, create_workspace
from kit.errors import Conflict, InvalidInput
from kit.tenancy import tenant_scope
from quotas.plans import default_plan, give_plan
from workspaces.language_models.queries import install_local_model

FIRST_WORKSPACE = "General"
LONGEST_NAME = 100
MOST_WORKSPACES = 500


@dataclass(frozen=True, slots=True)
class Place:
    """A tenant and its first workspace."""

    tenant: Tenant
    workspace: Workspace


def sign_up(*, email: str, password: str, name: str, tenant_name: str, workspace_name: str) -> Principal:
    """Makes the account and its place; EmailTaken, RateLimited or InvalidInput leave nothing behind."""
    address = normal_address(email)
    expect_network()  # before the address is looked for, so that a refusal says nothing about it
    with transaction.atomic():
        user = create_account(email=address, password=password, name=name, verified=False)
        place = open_place(owner=user, tenant_name=tenant_name, workspace_name=workspace_name)
        send_verification(user)
    principal = find_principal(
        user_id=user.id, tenant_slug=place.tenant.slug, workspace_slug=place.workspace.slug
    )
    return cast("Principal", principal)  # a place just made can be entered


def sign_up_quietly(*, email: str, password: str, name: str, tenant_name: str, workspace_name: str) -> None:
    """As `sign_up`, but a caller cannot tell an address that has an account: its owner is told by mail.

    For a known address all of the work is done as well, and undone: the time it takes tells nothing either.
    """
    try:
        sign_up(
            email=email,
            password=password,
            name=name,
            tenant_name=tenant_name,
            workspace_name=workspace_name,
        )
    except EmailTaken:
        rehearse_sign_up(password=password, name=name, tenant_name=tenant_name, workspace_name=workspace_name)
        tell_of_account(normal_address(email))


def rehearse_sign_up(*, password: str, name: str, tenant_name: str, workspace_name: str) -> None:
    """Signs up an address that belongs to no one, and takes it back; the network's limit counts it."""
    with transaction.atomic():
        user = create_account(
            email=f"{uuid4().hex}@rehearsal.invalid", password=password, name=name, verified=False
        )
        open_place(owner=user, tenant_name=tenant_name, workspace_name=workspace_name)
        transaction.set_rollback(True)
    note_founding()


def open_tenant_for(*, email: str, name: str, tenant_name: str, workspace_name: str) -> Place:
    """A tenant for a known account, or for a new one that has no password yet."""
    address = normal_address(email)
    named = {"name": name, "tenant_name": tenant_name, "workspace_name": workspace_name}
    wrong = [field for field, text in named.items() if len(text) > LONGEST_NAME or "\0" in text]
    if wrong or not tenant_name.strip():
        raise InvalidInput(f"A name must have 1 to {LONGEST_NAME} characters.")
    with transaction.atomic():
        known = User.objects.filter(email=address).first()
        owner = known or create_account(email=address, password=None, name=name, verified=False)
        return open_place(
            owner=owner, tenant_name=tenant_name, workspace_name=workspace_name, is_founded=False
        )


def open_place(*, owner: User, tenant_name: str, workspace_name: str, is_founded: bool = True) -> Place:
    """A tenant of its own for `owner`, ready to chat in.

    Conflict for somebody who founded as many as a person may, RateLimited for a network that did so today.
    """
    with transaction.atomic():
        tenant = create_tenant(name=tenant_name, owner=owner, is_founded=is_founded)
        give_plan(tenant=tenant, plan=default_plan())
        workspace = furnish_workspace(tenant=tenant, name=workspace_name or FIRST_WORKSPACE, manager=owner)
        audit.record(
            "user.signed_up",
            actor_id=owner.id,
            tenant_id=tenant.id,
            workspace_id=workspace.id,
            target=tenant.slug,
        )
    return Place(tenant=tenant, workspace=workspace)


def furnish_workspace(*, tenant: Tenant, name: str, manager: User) -> Workspace:
    """A workspace with what it needs to be of use: the local model."""
    with transaction.atomic():
        workspace = create_workspace(tenant=tenant, name=name, manager=manager)
        with tenant_scope(tenant.ref):
            install_local_model(workspace_id=workspace.id)
    return workspace


def open_workspace(*, principal: Principal, name: str) -> Principal:
    """A workspace that the principal manages, who is told as standing in it."""
    with acting(principal, Action.WORKSPACE_CREATE) as actor:
        if Workspace.objects.filter(tenant=actor.tenant.id, deleted_at=None).count() >= MOST_WORKSPACES:
            raise Conflict(f"A team can have at most {MOST_WORKSPACES} workspaces.")
        workspace = furnish_workspace(
            tenant=Tenant.objects.get(id=actor.tenant.id),
            name=name,
            manager=User.objects.get(id=actor.user_id),
        )
        audit.record("workspace.created", principal=actor, workspace_id=workspace.id, target=workspace.slug)
        return in_workspace(principal, workspace.slug)  # inside: whoever may not enter it has not made it
