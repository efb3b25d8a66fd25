"""JWTs: each names a user, a tenant and a workspace, and opens nothing that the database no longer grants."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts.models import User
from accounts.principals import Principal, find_principal
from accounts.sessions import live_app_session, prolong
from kit.errors import TokenInvalid

AnyToken = TypeVar("AnyToken", bound=Token)
APP_SESSION_CLAIM = "appSession"


def issue_tokens(principal: Principal, *, app_session: str = "") -> dict[str, str]:
    """`{access, refresh, userId, tenantId, workspaceId}`; the ids are slugs, as clients name them.

    With `app_session`, the name of an app's session, the refresh token ends with that session.
    """
    refresh = RefreshToken.for_user(User(id=principal.user_id))
    if app_session:
        refresh[APP_SESSION_CLAIM] = app_session
    refresh.payload.update(_claims(principal))
    return {
        "access": str(refresh.access_token),
        "refresh": str(refresh),
        "userId": str(principal.user_id),
        **_place(principal),
    }


def access_token(principal: Principal) -> str:
    """An access token alone, which cannot be renewed."""
    token = AccessToken()
    token.payload.update(_claims(principal))
    return str(token)


def _place(principal: Principal) -> dict[str, str]:
    return {"tenantId": principal.tenant.slug, "workspaceId": principal.workspace.slug}


def _claims(principal: Principal) -> dict[str, Any]:
    return {"userId": str(principal.user_id), **_place(principal), **_bounds(principal)}


def _bounds(principal: Principal) -> dict[str, Any]:
    """What ends a token before its time: leaving the tenant, even to come back, and a new password."""
    membership_id, access_version = principal.bounds
    return {"membershipId": str(membership_id), "accessVersion": access_version}


def principal_from_access(raw: str) -> Principal:
    """Who the access token stands for; TokenInvalid when forged, expired, or the place was taken away."""
    return _principal_for(_read(AccessToken, raw))


def rotate_tokens(raw_refresh: str) -> dict[str, str]:
    """New tokens for an old refresh token, which is dead afterwards; only one of two callers wins."""
    refresh = _read(RefreshToken, raw_refresh)
    principal = _principal_for(refresh)
    app_session = str(refresh.payload.get(APP_SESSION_CLAIM, ""))
    session = live_app_session(user_id=principal.user_id, name=app_session) if app_session else None
    if app_session and session is None:
        raise TokenInvalid
    _, was_alive = cast("tuple[object, bool]", refresh.blacklist())  # its stubs say otherwise
    if not was_alive:
        raise TokenInvalid
    if session is not None:
        prolong(session)
    return issue_tokens(principal, app_session=app_session)


def revoke_refresh(raw_refresh: str, *, user_id: UUID) -> None:
    """Ends a refresh token of this user; ending a dead or expired one changes nothing."""
    try:
        refresh = _read(RefreshToken, raw_refresh)
    except TokenInvalid:
        return
    if refresh.payload.get("userId") == str(user_id):
        refresh.blacklist()


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
    principal = find_principal(user_id=user_id, tenant_slug=tenant, workspace_slug=workspace)
    if principal is None or any(claims.get(name) != value for name, value in _bounds(principal).items()):
        raise TokenInvalid
    return principal
