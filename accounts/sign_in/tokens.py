"""JWTs with a user, a tenant and a workspace; each use is checked against the database."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

from django.db import transaction
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts.audit import services as audit
from accounts.models import Tenant, User
from accounts.principals import Principal, find_principal
from accounts.sign_in.sessions import live_app_session, prolong
from accounts.sign_in.token_families import end_family
from kit.errors import TokenInvalid

AnyToken = TypeVar("AnyToken", bound=Token)
APP_SESSION_CLAIM = "appSession"
FAMILY_CLAIM = "family"


class AnyRefresh(RefreshToken):
    """A refresh token that has not expired; whether it is spent is checked by the caller."""

    def check_blacklist(self) -> None:
        pass


def issue_tokens(
    principal: Principal, *, app_session: str = "", family: UUID | None = None
) -> dict[str, str]:
    """`{access, refresh, userId, tenant, workspace, tenantId, workspaceId}`: the slugs by both names.

    `app_session`: the name of an app's session, with which the refresh token ends. `family`: None starts a
    new one, as a sign-in does.
    """
    refresh = RefreshToken.for_user(User(id=principal.user_id))
    if app_session:
        refresh[APP_SESSION_CLAIM] = app_session
    refresh.payload.update(_claims(principal))
    refresh[FAMILY_CLAIM] = str(family or uuid4())
    return {
        "access": str(refresh.access_token),
        "refresh": str(refresh),
        "userId": str(principal.user_id),
        "tenant": principal.tenant.slug,
        "workspace": principal.workspace.slug,
        **_slugs(principal),
    }


def access_token(principal: Principal) -> str:
    """An access token alone, which cannot be renewed."""
    token = AccessToken()
    token.payload.update(_claims(principal))
    return str(token)


def _slugs(principal: Principal) -> dict[str, str]:
    return {"tenantId": principal.tenant.slug, "workspaceId": principal.workspace.slug}


def _claims(principal: Principal) -> dict[str, Any]:
    return {"userId": str(principal.user_id), **_slugs(principal), **_bounds(principal)}


def _bounds(principal: Principal) -> dict[str, Any]:
    """Claims that no longer match after leaving the tenant, even to rejoin, or after a new password."""
    membership_id, access_version = principal.bounds
    return {"membershipId": str(membership_id), "accessVersion": access_version}


def principal_from_access(raw: str) -> Principal:
    """The principal of an access token; TokenInvalid if it is forged or expired, or access was removed."""
    return _principal_for(_read(AccessToken, raw))


def rotate_tokens(raw_refresh: str) -> dict[str, str]:
    """New tokens for an old refresh token, which is spent afterwards.

    TokenInvalid for a spent one, which also ends its family: of two callers with one token the first gets
    new tokens, and loses them when the second calls.
    """
    refresh = _read(AnyRefresh, raw_refresh)
    family = _family_of(refresh)
    if BlacklistedToken.objects.filter(token__jti=refresh["jti"]).exists():
        _end_reused(refresh)
        raise TokenInvalid
    principal = _principal_for(refresh)
    app_session = str(refresh.payload.get(APP_SESSION_CLAIM, ""))
    session = live_app_session(user_id=principal.user_id, name=app_session) if app_session else None
    if app_session and session is None:
        raise TokenInvalid
    if not _spend(refresh):  # by a concurrent request
        _end_reused(refresh)
        raise TokenInvalid
    if session is not None:
        prolong(session)
    return issue_tokens(principal, app_session=app_session, family=family)


def revoke_refresh(raw_refresh: str, *, user_id: UUID) -> None:
    """Ends the sign-in that a refresh token of this user belongs to; an expired one changes nothing."""
    try:
        refresh = _read(AnyRefresh, raw_refresh)
    except TokenInvalid:
        return
    if refresh.payload.get("userId") == str(user_id):
        _spend(refresh)
        _end_sign_in(refresh, user_id)


def _spend(refresh: AnyRefresh) -> bool:
    """False if it was spent already; of two concurrent calls one returns True."""
    _, was_alive = cast("tuple[object, bool]", refresh.blacklist())  # its stubs say otherwise
    return was_alive


def _end_reused(refresh: AnyRefresh) -> None:
    """Ends the family, and audits that the first time."""
    claims = refresh.payload
    try:
        user_id = UUID(str(claims["userId"]))
    except (KeyError, ValueError):
        return
    family = _family_of(refresh)
    with transaction.atomic():
        if not _end_sign_in(refresh, user_id):
            return
        tenant = Tenant.objects.filter(slug=str(claims.get("tenantId", ""))).first()
        audit.record(
            "refresh_token.reused",
            actor_id=user_id,
            tenant_id=tenant.id if tenant else None,
            target=f"{claims.get('tenantId', '')}/{claims.get('workspaceId', '')}",
            via="api",
            family=str(family),
        )


def _end_sign_in(refresh: AnyRefresh, user_id: UUID) -> bool:
    """Ends its family, and the app's session that could get new tokens; False if both had ended."""
    app_session = str(refresh.payload.get(APP_SESSION_CLAIM, ""))
    session = live_app_session(user_id=user_id, name=app_session) if app_session else None
    if session is not None:
        session.end()
    return end_family(_family_of(refresh), user_id=user_id)


def _family_of(token: Token) -> UUID:
    """Refresh tokens issued before there were families start one, named after themselves."""
    try:
        return UUID(str(token.payload.get(FAMILY_CLAIM) or token["jti"]))
    except ValueError as exc:
        raise TokenInvalid from exc


def _read(kind: type[AnyToken], raw: str) -> AnyToken:
    try:
        return kind(raw)  # type: ignore[arg-type]  # simplejwt takes the encoded text, its stubs a Token
    except (TokenError, ValueError, TypeError) as exc:
        raise TokenInvalid from exc


def _principal_for(token: Token) -> Principal:
    claims: Mapping[str, Any] = token.payload
    try:
        user_id = UUID(str(claims["userId"]))
        tenant, workspace = str(claims["tenantId"]), str(claims["workspaceId"])
    except (KeyError, ValueError) as exc:
        raise TokenInvalid from exc
    family = _family_of(token) if FAMILY_CLAIM in claims or isinstance(token, RefreshToken) else None
    principal = find_principal(user_id=user_id, tenant_slug=tenant, workspace_slug=workspace, family=family)
    if principal is None or any(claims.get(name) != value for name, value in _bounds(principal).items()):
        raise TokenInvalid
    return principal
