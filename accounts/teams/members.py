"""Who belongs to a tenant and to its workspaces, and as what; changes count on the next request.

Every change locks the tenant first and asks for the actor's own role again, so that of two people who demote
each other at the same moment only one succeeds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.audit import services as audit
from accounts.errors import LastOwner
from accounts.models import (
    ApiKey,
    Departure,
    Membership,
    OwnershipOffer,
    Tenant,
    User,
    Workspace,
    WorkspaceMember,
)
from accounts.policy import Action, expect, may
from accounts.principals import Principal
from accounts.revocation import access_changed
from kit.errors import Forbidden, InvalidInput, NotFound

OFFER_DAYS = 7


@contextmanager
def acting(principal: Principal, action: Action) -> Iterator[Principal]:
    """One transaction, alone in the tenant, with the actor's tenant role as it is now."""
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(id=principal.tenant.id)
        role = (
            Membership.objects.filter(id=principal.membership_id, user__is_active=True)
            .values_list("role", flat=True)
            .first()
        )
        if role is None:
            raise NotFound
        current = replace(principal, tenant_role=role)
        expect(current, action)
        yield current


def members_of(principal: Principal) -> QuerySet[Membership]:
    """Everybody in the tenant, service accounts left out."""
    expect(principal, Action.MEMBERS_VIEW)
    return Membership.objects.filter(tenant_id=principal.tenant.id, user__service_of=None).select_related(
        "user"
    )


def change_role(*, principal: Principal, user_id: UUID, role: str) -> Membership:
    """Another role in the tenant; an owner's only passes by an offer. Only a person makes an admin."""
    with acting(principal, right_to_give(role)) as actor:
        membership = _below(actor, user_id)
        if role == Membership.Role.OWNER:
            raise InvalidInput(role=["You cannot set the owner role. Offer ownership instead."])
        before, membership.role = membership.role, Membership.Role(role)
        if before != role:
            membership.save(update_fields=["role"])
            if role == Membership.Role.GUEST:
                _demote_manager(membership)
            _record(actor, "member.role_changed", membership.user, changes={"role": [before, role]})
            access_changed(user_id)
    return membership


def right_to_give(role: str) -> Action:
    """What giving a member this role takes."""
    return Action.ADMINS_CHANGE if role == Membership.Role.ADMIN else Action.MEMBERS_CHANGE


def _demote_manager(membership: Membership) -> None:
    """Guests run no workspace."""
    _places_of(membership).filter(role=WorkspaceMember.Role.MANAGER).update(role=WorkspaceMember.Role.EDITOR)


def remove_from_tenant(*, principal: Principal, user_id: UUID) -> None:
    """Somebody else's end: tokens, keys, sockets and running turns end with it."""
    if user_id == principal.user_id:
        leave_tenant(principal=principal)
        return
    with acting(principal, Action.MEMBERS_CHANGE) as actor:
        membership = _below(actor, user_id)
        remove_member(membership=membership)
        _record(actor, "member.removed", membership.user, changes={"role": [membership.role, None]})


def memberships_of(user_id: UUID) -> QuerySet[Membership]:
    """The teams somebody is in, with what they are there."""
    return Membership.objects.filter(user=user_id).select_related("tenant").order_by("created_at", "id")


@transaction.atomic
def leave_by_membership(*, membership: Membership) -> None:
    """One's own end in a team, also where one is in none of its workspaces."""
    remove_member(membership=membership)
    audit.record(
        "member.left",
        actor_id=membership.user_id,
        tenant_id=membership.tenant_id,
        target=membership.user.email,
        changes={"role": [membership.role, None]},
    )


def leave_tenant(*, principal: Principal) -> None:
    """One's own end; LastOwner where nobody else owns the tenant."""
    with acting(principal, Action.TENANT_LEAVE) as actor:
        membership = Membership.objects.select_related("user").get(id=actor.membership_id)
        remove_member(membership=membership)
        _record(actor, "member.left", membership.user, changes={"role": [membership.role, None]})


@transaction.atomic
def remove_member(*, membership: Membership) -> None:
    """Out of the tenant and of all its workspaces, so that coming back later restores nothing unasked."""
    tenant = Tenant.objects.select_for_update(no_key=True).get(id=membership.tenant_id)
    expect_other_owner(membership)
    now = timezone.now()
    _places_of(membership).delete()
    OwnershipOffer.objects.filter(tenant=tenant, offered_to=membership.user_id).delete()
    ApiKey.objects.filter(tenant=tenant, owner=membership.user_id, revoked_at=None).update(revoked_at=now)
    Membership.objects.filter(id=membership.id).delete()
    if tenant.departed_conversations == Tenant.Departed.DELETE:
        Departure.objects.update_or_create(
            tenant=tenant,
            user_id=membership.user_id,
            defaults={"delete_after": now + timedelta(days=settings.GRACE_DAYS)},
        )
    access_changed(membership.user_id)


def is_last_owner(membership: Membership) -> bool:
    owners = Membership.objects.filter(tenant=membership.tenant_id, role=Membership.Role.OWNER)
    return membership.role == Membership.Role.OWNER and not owners.exclude(id=membership.id).exists()


def expect_other_owner(membership: Membership) -> None:
    """LastOwner unless somebody else owns the tenant too."""
    if is_last_owner(membership):
        raise LastOwner


def join_tenant(*, tenant: Tenant, user: User, role: str) -> Membership:
    """A member from now on; whoever is one already keeps the role they have."""
    membership, is_new = Membership.objects.get_or_create(tenant=tenant, user=user, defaults={"role": role})
    if is_new:
        Departure.objects.filter(tenant=tenant, user=user).delete()
    return membership


def join_workspace(*, workspace: Workspace, membership: Membership, role: str) -> WorkspaceMember:
    """In the workspace from now on; whoever is there already keeps their role. Guests run none."""
    if membership.role == Membership.Role.GUEST and role == WorkspaceMember.Role.MANAGER:
        role = WorkspaceMember.Role.EDITOR
    place, _ = WorkspaceMember.objects.get_or_create(
        workspace=workspace, user_id=membership.user_id, defaults={"role": role}
    )
    return place


def offer_ownership(*, principal: Principal, user_id: UUID) -> OwnershipOffer:
    """Replaces an earlier offer; nothing changes until it is accepted."""
    with acting(principal, Action.OWNERSHIP_PASS) as actor:
        heir = _member(actor, user_id)
        if heir.user_id == actor.user_id or heir.role in {Membership.Role.OWNER, Membership.Role.GUEST}:
            raise InvalidInput(user_id=["Offer ownership to an admin or a member."])
        offer, _ = OwnershipOffer.objects.update_or_create(
            tenant_id=actor.tenant.id,
            defaults={
                "offered_by_id": actor.user_id,
                "offered_to_id": user_id,
                "expires_at": timezone.now() + timedelta(days=OFFER_DAYS),
            },
        )
        _record(actor, "ownership.offered", heir.user)
    return offer


def current_offer(principal: Principal) -> OwnershipOffer:
    """The one that waits, for owners and for whom it was made to; NotFound for everybody else."""
    offer = (
        OwnershipOffer.objects.select_related("offered_by", "offered_to")
        .filter(tenant=principal.tenant.id, expires_at__gt=timezone.now())
        .first()
    )
    concerned = offer is not None and (
        may(principal, Action.OWNERSHIP_PASS) or offer.offered_to_id == principal.user_id
    )
    if offer is None or not concerned:
        raise NotFound
    return offer


def withdraw_offer(*, principal: Principal) -> None:
    with acting(principal, Action.OWNERSHIP_PASS) as actor:
        offer = OwnershipOffer.objects.select_related("offered_to").filter(tenant=actor.tenant.id).first()
        if offer is None:
            raise NotFound
        offer.delete()
        _record(actor, "ownership.withdrawn", offer.offered_to)


def accept_ownership(*, principal: Principal) -> None:
    """By whom it was offered to, while the one who offered it still owns the tenant, and becomes an admin."""
    with acting(principal, Action.OWNERSHIP_ACCEPT) as actor:
        offer = (
            OwnershipOffer.objects.select_related("offered_by", "offered_to")
            .filter(tenant=actor.tenant.id, offered_to=actor.user_id, expires_at__gt=timezone.now())
            .first()
        )
        members = Membership.objects.filter(tenant=actor.tenant.id)
        owners = members.filter(role=Membership.Role.OWNER)
        giver = owners.filter(user=offer.offered_by_id).first() if offer else None
        if offer is None or giver is None:
            raise NotFound
        members.filter(id=actor.membership_id).update(role=Membership.Role.OWNER)
        members.filter(id=giver.id).update(role=Membership.Role.ADMIN)
        offer.delete()
        passed = {"owner": [offer.offered_by.email, offer.offered_to.email]}
        _record(actor, "ownership.passed", offer.offered_to, changes=passed)
        access_changed(giver.user_id)
        access_changed(actor.user_id)


def _below(actor: Principal, user_id: UUID) -> Membership:
    """A member whom the actor may change: nobody an owner, who passes the ownership on instead."""
    membership = _member(actor, user_id)
    if membership.role == Membership.Role.OWNER:
        expect_other_owner(membership)
        if actor.tenant_role != Membership.Role.OWNER:
            raise Forbidden("Only an owner can change the role of an owner.")
    return membership


def _member(actor: Principal, user_id: UUID) -> Membership:
    membership = (
        Membership.objects.select_related("user").filter(tenant=actor.tenant.id, user=user_id).first()
    )
    if membership is None:
        raise NotFound
    return membership


def _places_of(membership: Membership) -> QuerySet[WorkspaceMember]:
    return WorkspaceMember.objects.filter(
        user_id=membership.user_id, workspace__tenant_id=membership.tenant_id
    )


def _record(actor: Principal, action: str, subject: User, changes: audit.Changes | None = None) -> None:
    audit.record(action, principal=actor, of_tenant=True, target=subject.email, changes=changes)
