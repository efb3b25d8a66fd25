"""API keys: created, shown once, stored as a hash; the principal is read again on each use."""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import get_random_string

from accounts.audit import services as audit
from accounts.keys.bearer_secrets import hash_of, make_secret, matches
from accounts.keys.inputs import KeyInput, ServiceAccountInput
from accounts.models import ApiKey, Membership, Tenant, User
from accounts.policy import Action, Scope, expect, may
from accounts.principals import Principal, default_principal, find_principal
from accounts.revocation import access_changed
from accounts.teams.members import acting, find_member, remove_member
from kit.errors import Conflict, InvalidInput, NotFound, TokenInvalid

KEY_PREFIX = "sy_"  # so that secret scanners recognise a leaked key
PREFIX_LENGTH = 10
CHARACTERS = "abcdefghijkmnpqrstuvwxyz23456789"
MOST_KEYS = 100  # unrevoked ones of one owner in a tenant
USE_RECORDED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewKey:
    """Only the service that creates a key returns its text; the database has a hash."""

    row: ApiKey
    secret: str

    @property
    def text(self) -> str:
        return f"{KEY_PREFIX}{self.row.prefix}_{self.secret}"


def looks_like_key(raw: str) -> bool:
    return raw.startswith(KEY_PREFIX)


def principal_from_key(raw: str, workspace_slug: str = "") -> Principal:
    """The principal that the key acts as; TokenInvalid once the key, owner or membership has ended.

    A key of the whole tenant acts in the named workspace, else in the default one, else in the owner's first.
    """
    prefix, _, secret = raw.removeprefix(KEY_PREFIX).partition("_")
    if not (prefix.isascii() and prefix.isalnum() and len(prefix) <= PREFIX_LENGTH):
        raise TokenInvalid
    related = ApiKey.objects.live().select_related("tenant__default_workspace", "workspace")
    key = related.filter(prefix=prefix).first()
    if key is None or not matches(secret, key.secret_hash):
        raise TokenInvalid
    principal = _principal_of_owner(key, workspace_slug)
    if principal is None or principal.membership_id != key.membership_id:
        raise TokenInvalid
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > USE_RECORDED_EVERY:
        ApiKey.objects.filter(id=key.id).update(last_used_at=now)
    return replace(
        principal,
        scopes=frozenset(Scope(scope) for scope in key.scopes),
        api_key=key.prefix,
        api_key_id=key.id,
        is_bound=key.workspace_id is not None,
    )


def is_alive(prefix: str) -> bool:
    return ApiKey.objects.live().filter(prefix=prefix).exists()


def _principal_of_owner(key: ApiKey, workspace_slug: str) -> Principal | None:
    tenant = key.tenant.slug
    if key.workspace is not None:
        if workspace_slug not in {"", key.workspace.slug}:
            raise NotFound
        return find_principal(user_id=key.owner_id, tenant_slug=tenant, workspace_slug=key.workspace.slug)
    if workspace_slug:
        named = find_principal(user_id=key.owner_id, tenant_slug=tenant, workspace_slug=workspace_slug)
        if named is None:
            raise NotFound
        return named
    default = key.tenant.default_workspace
    in_default = default and find_principal(
        user_id=key.owner_id, tenant_slug=tenant, workspace_slug=default.slug
    )
    return in_default or default_principal(user_id=key.owner_id, tenant_slug=tenant)


def create_key(*, principal: Principal, key: KeyInput, for_tenant: bool = False) -> NewKey:
    """For the principal's workspace or the whole tenant; owned by the principal or a service account."""
    if key.expires_at is not None and key.expires_at <= timezone.now():
        raise InvalidInput(expires_at=["This time is in the past."])
    with acting(principal, Action.TENANT_KEYS if for_tenant else _needed(key.service_account)) as actor:
        if for_tenant and key.service_account is not None:
            expect(actor, Action.SERVICE_ACCOUNTS_CHANGE)
        owner = _owner(actor, key.service_account)
        _expect_below_limit(owner)
        secret = make_secret()
        row = ApiKey.objects.create(
            tenant_id=owner.tenant_id,
            workspace_id=None if for_tenant else actor.workspace.id,
            owner_id=owner.user_id,
            membership_id=owner.id,
            name=key.name,
            prefix=get_random_string(PREFIX_LENGTH, CHARACTERS),
            secret_hash=hash_of(secret),
            scopes=sorted(set(key.scopes)),
            created_by_id=actor.user_id,
            expires_at=key.expires_at,
        )
        audit.record(
            "api_key.created",
            principal=actor,
            of_tenant=for_tenant,
            target=row.audit_target,
            owner=str(owner.user_id),
            changes={"scopes": [None, row.scopes]},
        )
    return NewKey(row=row, secret=secret)


def _needed(service_account: UUID | None) -> Action:
    return Action.KEYS_OWN if service_account is None else Action.SERVICE_ACCOUNTS_CHANGE


def _owner(actor: Principal, service_account: UUID | None) -> Membership:
    members = Membership.objects.of_tenant(actor.tenant.id)
    if service_account is None:
        return members.get(id=actor.membership_id)
    owner = members.filter(user=service_account, user__service_of=actor.tenant.id).first()
    if owner is None:
        raise InvalidInput(service_account=["Service account not found."])
    return owner


def _expect_below_limit(owner: Membership) -> None:
    present = ApiKey.objects.unrevoked().filter(owner=owner.user_id, tenant=owner.tenant_id)
    if present.count() >= MOST_KEYS:
        raise Conflict(f"The limit of {MOST_KEYS} API keys is reached. Revoke one first.")


def listed_keys(principal: Principal) -> QuerySet[ApiKey]:
    """The principal's unrevoked keys; everyone's for people who may create keys for the tenant."""
    rows = ApiKey.objects.unrevoked().filter(tenant=principal.tenant.id)
    if not may(principal, Action.TENANT_KEYS):
        expect(principal, Action.KEYS_OWN)
        rows = rows.filter(owner=principal.user_id)
    return rows.select_related("workspace", "owner")


@transaction.atomic
def revoke_key(*, principal: Principal, key_id: UUID) -> None:
    """The principal's own key in any role; anyone's for people who may create keys for the tenant."""
    expect(principal, Action.KEYS_REVOKE)
    rows = ApiKey.objects.unrevoked().filter(tenant=principal.tenant.id)
    if not may(principal, Action.TENANT_KEYS):
        rows = rows.filter(owner=principal.user_id)
    key = rows.filter(id=key_id).first()
    if key is None:
        raise NotFound
    rows.filter(id=key_id).revoke()
    audit.record("api_key.revoked", principal=principal, target=key.audit_target)
    access_changed(key.owner_id)


def keys_of_person(user_id: UUID) -> QuerySet[ApiKey]:
    """Unrevoked keys in all of the person's teams, at most `MOST_KEYS` in each."""
    own = Membership.objects.filter(user=user_id).values("id")
    rows = ApiKey.objects.unrevoked().filter(owner=user_id, membership_id__in=own)
    return rows.select_related("tenant", "workspace")


def keys_lost_in_recovery(user_id: UUID) -> QuerySet[ApiKey]:
    """The keys revoked in the last 30 days because the account was recovered."""
    since = timezone.now() - timedelta(days=30)
    rows = ApiKey.objects.filter(owner=user_id, revoked_in_recovery=True, revoked_at__gt=since)
    return rows.select_related("tenant", "workspace")


@transaction.atomic
def revoke_own_key(*, user_id: UUID, key_id: UUID) -> None:
    """For the page of the person's account, where no workspace is current."""
    rows = ApiKey.objects.unrevoked().filter(owner=user_id, id=key_id)
    key = rows.first()
    if key is None:
        raise NotFound
    rows.revoke()
    audit.record("api_key.revoked", actor_id=user_id, tenant_id=key.tenant_id, target=key.audit_target)
    access_changed(user_id)


def create_service_account(*, principal: Principal, account: ServiceAccountInput) -> User:
    """In the principal's workspace; its keys outlive the membership of the person who created them."""
    with acting(principal, Action.SERVICE_ACCOUNTS_CHANGE) as actor:
        tenant = Tenant.objects.get(id=actor.tenant.id)
        user = User(name=account.name, service_of=tenant)
        user.email = f"{user.id.hex}@service.invalid"  # reserved by RFC 2606
        user.set_unusable_password()
        user.save()
        Membership.objects.create(tenant=tenant, user=user, role=Membership.Role.MEMBER)
        user.workspace_memberships.create(workspace_id=actor.workspace.id, role=account.workspace_role)
        audit.record("service_account.created", principal=actor, target=account.name, user=str(user.id))
    return user


def service_accounts_of(principal: Principal) -> QuerySet[User]:
    expect(principal, Action.SERVICE_ACCOUNTS_VIEW)
    return User.objects.filter(service_of=principal.tenant.id, is_active=True)


def remove_service_account(*, principal: Principal, user_id: UUID) -> None:
    """Revokes its keys too."""
    with acting(principal, Action.SERVICE_ACCOUNTS_CHANGE) as actor:
        membership = find_member(actor, user_id)
        if membership.user.service_of_id != actor.tenant.id:
            raise NotFound
        remove_member(membership=membership)
        User.objects.filter(id=user_id).update(is_active=False)
        audit.record(
            "service_account.removed",
            principal=actor,
            of_tenant=True,
            target=membership.user.name,
            user=str(user_id),
        )
