"""API keys: made, shown once, kept as a hash; and who they stand for, read anew at each use."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import get_random_string

from accounts.audit import services as audit
from accounts.keys.bearer_secrets import hash_of, make_secret, matches
from accounts.models import ApiKey, Membership, Tenant, User
from accounts.policy import Action, Scope, expect, may
from accounts.principals import Principal, default_principal, find_principal
from accounts.revocation import access_changed
from accounts.teams.members import acting, remove_member
from kit.errors import Conflict, InvalidInput, NotFound, TokenInvalid

MARK = "sy_"  # a leaked key can be told as one
PREFIX_LENGTH = 10
LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
MOST_KEYS = 100  # live ones of one owner in a tenant
USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewKey:
    """The one moment at which a key can be read."""

    row: ApiKey
    secret: str

    @property
    def text(self) -> str:
        return f"{MARK}{self.row.prefix}_{self.secret}"


def looks_like_key(raw: str) -> bool:
    return raw.startswith(MARK)


def principal_from_key(raw: str, workspace_slug: str = "") -> Principal:
    """Who the key acts for, and where: TokenInvalid as soon as key, owner or membership has ended.

    A key of the whole tenant acts in the named workspace, else in the default one, else in the owner's first.
    """
    prefix, _, secret = raw.removeprefix(MARK).partition("_")
    if not (prefix.isascii() and prefix.isalnum() and len(prefix) <= PREFIX_LENGTH):
        raise TokenInvalid
    related = _live_keys().select_related("tenant__default_workspace", "workspace")
    key = related.filter(prefix=prefix).first()
    if key is None or not matches(secret, key.secret_hash):
        raise TokenInvalid
    principal = _place_of(key, workspace_slug)
    if principal is None or principal.membership_id != key.membership_id:
        raise TokenInvalid
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > USE_NOTED_EVERY:
        ApiKey.objects.filter(id=key.id).update(last_used_at=now)
    return replace(
        principal,
        scopes=frozenset(Scope(scope) for scope in key.scopes),
        api_key=key.prefix,
        api_key_id=key.id,
        is_bound=key.workspace_id is not None,
    )


def is_alive(prefix: str) -> bool:
    return _live_keys().filter(prefix=prefix).exists()


def _live_keys() -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)


def _place_of(key: ApiKey, workspace_slug: str) -> Principal | None:
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
    there = default and find_principal(user_id=key.owner_id, tenant_slug=tenant, workspace_slug=default.slug)
    return there or default_principal(user_id=key.owner_id, tenant_slug=tenant)


def create_key(
    *,
    principal: Principal,
    name: str,
    scopes: list[str],
    for_tenant: bool = False,
    expires_at: datetime | None = None,
    service_account: UUID | None = None,
) -> NewKey:
    """A key in the principal's workspace, or for the whole tenant; one's own, or a service account's."""
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidInput(expires_at=["This time is in the past."])
    with acting(principal, Action.TENANT_KEYS if for_tenant else _needed(service_account)) as actor:
        if for_tenant and service_account is not None:
            expect(actor, Action.SERVICE_ACCOUNTS_CHANGE)
        owner = _owner(actor, service_account)
        _expect_room(owner)
        new = _write(
            owner,
            workspace_id=None if for_tenant else actor.workspace.id,
            name=name,
            scopes=sorted(set(scopes)),
            expires_at=expires_at,
            created_by_id=actor.user_id,
        )
        audit.record(
            "api_key.created",
            principal=actor,
            of_tenant=for_tenant,
            target=f"{new.row.prefix} {name}",
            owner=str(owner.user_id),
            changes={"scopes": [None, new.row.scopes]},
        )
    return new


def _needed(service_account: UUID | None) -> Action:
    return Action.KEYS_OWN if service_account is None else Action.SERVICE_ACCOUNTS_CHANGE


def _owner(actor: Principal, service_account: UUID | None) -> Membership:
    members = Membership.objects.select_related("user").filter(tenant=actor.tenant.id)
    if service_account is None:
        return members.get(id=actor.membership_id)
    owner = members.filter(user=service_account, user__service_of=actor.tenant.id).first()
    if owner is None:
        raise InvalidInput(service_account=["Service account not found."])
    return owner


def _expect_room(owner: Membership) -> None:
    if (
        ApiKey.objects.filter(owner=owner.user_id, tenant=owner.tenant_id, revoked_at=None).count()
        >= MOST_KEYS
    ):
        raise Conflict(f"The limit of {MOST_KEYS} API keys is reached. Revoke one first.")


def _write(owner: Membership, **fields: object) -> NewKey:
    secret = make_secret()
    row = ApiKey.objects.create(
        tenant_id=owner.tenant_id,
        owner_id=owner.user_id,
        membership_id=owner.id,
        prefix=get_random_string(PREFIX_LENGTH, LETTERS),
        secret_hash=hash_of(secret),
        **fields,
    )
    return NewKey(row=row, secret=secret)


def listed_keys(principal: Principal) -> QuerySet[ApiKey]:
    """One's own live keys; everybody's for who may make keys for the tenant."""
    rows = ApiKey.objects.filter(tenant=principal.tenant.id, revoked_at=None)
    if not may(principal, Action.TENANT_KEYS):
        expect(principal, Action.KEYS_OWN)
        rows = rows.filter(owner=principal.user_id)
    return rows.select_related("workspace", "owner")


@transaction.atomic
def revoke_key(*, principal: Principal, key_id: UUID) -> None:
    """Dead from the next request on: one's own, whatever one's role; anybody's for who may make team keys."""
    expect(principal, Action.KEYS_REVOKE)
    rows = ApiKey.objects.filter(tenant=principal.tenant.id, revoked_at=None)
    if not may(principal, Action.TENANT_KEYS):
        rows = rows.filter(owner=principal.user_id)
    key = rows.filter(id=key_id).first()
    if key is None:
        raise NotFound
    ApiKey.objects.filter(id=key.id).update(revoked_at=timezone.now())
    audit.record("api_key.revoked", principal=principal, target=f"{key.prefix} {key.name}")
    access_changed(key.owner_id)


def keys_of_person(user_id: UUID) -> QuerySet[ApiKey]:
    """Live keys of one person in all teams that they are in; `MOST_KEYS` of them in each."""
    mine = Membership.objects.filter(user=user_id).values("id")
    rows = ApiKey.objects.filter(owner=user_id, membership_id__in=mine, revoked_at=None)
    return rows.select_related("tenant", "workspace")


def keys_lost_in_recovery(user_id: UUID) -> QuerySet[ApiKey]:
    """The person's keys that the recovery of their account ended within the last month."""
    since = timezone.now() - timedelta(days=30)
    rows = ApiKey.objects.filter(owner=user_id, revoked_in_recovery=True, revoked_at__gt=since)
    return rows.select_related("tenant", "workspace")


@transaction.atomic
def revoke_own_key(*, user_id: UUID, key_id: UUID) -> None:
    key = ApiKey.objects.filter(owner=user_id, id=key_id, revoked_at=None).first()
    if key is None:
        raise NotFound
    ApiKey.objects.filter(id=key.id).update(revoked_at=timezone.now())
    audit.record(
        "api_key.revoked", actor_id=user_id, tenant_id=key.tenant_id, target=f"{key.prefix} {key.name}"
    )
    access_changed(user_id)


def create_service_account(*, principal: Principal, name: str, workspace_role: str) -> User:
    """Nobody's account, in the principal's workspace, for keys that outlive the person who made them."""
    with acting(principal, Action.SERVICE_ACCOUNTS_CHANGE) as actor:
        tenant = Tenant.objects.get(id=actor.tenant.id)
        user = User(name=name, service_of=tenant)
        user.email = f"{user.id.hex}@service.invalid"  # nobody's, by RFC 2606
        user.set_unusable_password()
        user.save()
        Membership.objects.create(tenant=tenant, user=user, role=Membership.Role.MEMBER)
        user.workspace_memberships.create(workspace_id=actor.workspace.id, role=workspace_role)
        audit.record("service_account.created", principal=actor, target=name, user=str(user.id))
    return user


def service_accounts_of(principal: Principal) -> QuerySet[User]:
    expect(principal, Action.SERVICE_ACCOUNTS_VIEW)
    return User.objects.filter(service_of=principal.tenant.id, is_active=True)


def remove_service_account(*, principal: Principal, user_id: UUID) -> None:
    """Its keys end with it."""
    with acting(principal, Action.SERVICE_ACCOUNTS_CHANGE) as actor:
        members = Membership.objects.select_related("user").filter(tenant=actor.tenant.id, user=user_id)
        membership = members.filter(user__service_of=actor.tenant.id).first()
        if membership is None:
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
