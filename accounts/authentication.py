"""Bearer tokens, JWTs and API keys: `request.auth` is the Principal, `request.user` a stand-in for it."""

from dataclasses import dataclass
from uuid import UUID

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from accounts.keys.services import is_alive, looks_like_key, principal_from_key
from accounts.principals import Principal, find_principal
from accounts.request_limits import count_request
from accounts.sign_in.tokens import principal_from_access
from kit.errors import TokenInvalid

WORKSPACE_HEADER = "x-workspace"  # where a key of the whole tenant acts: a slug


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What DRF needs of a user; the Principal was checked already, so no second read."""

    pk: UUID
    is_authenticated: bool = True


class BearerAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[SignedIn, Principal] | None:
        raw = bearer_token(get_authorization_header(request))
        if raw is None:
            return None
        principal = principal_of_bearer(raw, request.headers.get(WORKSPACE_HEADER, ""))
        return SignedIn(pk=principal.user_id), principal

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def principal_of_bearer(raw: str, workspace_slug: str = "") -> Principal:
    """Who an access token or an API key stands for, on HTTP and WebSocket alike; else TokenInvalid.

    Each call is one request or frame, and counted as such: RateLimited where they were too many.
    """
    is_key = looks_like_key(raw)
    principal = principal_from_key(raw, workspace_slug) if is_key else principal_from_access(raw)
    count_request(principal)
    return principal


def still_stands(principal: Principal) -> bool:
    """Whether what let the principal in would do so now: membership, password, workspace, key, sign-in."""
    now = find_principal(
        user_id=principal.user_id,
        tenant_slug=principal.tenant.slug,
        workspace_slug=principal.workspace.slug,
        family=principal.family,
    )
    if now is None or now.bounds != principal.bounds:
        return False
    return not principal.api_key or is_alive(principal.api_key)


def bearer_token(header: bytes) -> str | None:
    """The token in an Authorization header; None without one, TokenInvalid for another scheme."""
    if not header.strip():
        return None
    scheme, _, token = header.strip().partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise TokenInvalid
    return token.strip().decode("latin-1")
