"""Bearer tokens and keys, also in x-api-key: `request.auth` is the Principal, `request.user` only its id."""

from dataclasses import dataclass
from uuid import UUID

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from accounts.keys.services import is_alive, looks_like_key, principal_from_key
from accounts.principals import Principal, find_principal
from accounts.request_limits import count_request
from accounts.sign_in.tokens import principal_from_access
from kit.errors import TokenInvalid

API_KEY_HEADER = "x-api-key"  # as Anthropic's clients send a key
WORKSPACE_HEADER = "x-workspace"  # a slug: the workspace that a key of the whole tenant acts in


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The user attributes that DRF needs; the Principal has been checked, so no second read."""

    pk: UUID
    is_authenticated: bool = True


class BearerAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[SignedIn, Principal] | None:
        raw = token_of(get_authorization_header(request), request.headers.get(API_KEY_HEADER, ""))
        if raw is None:
            return None
        principal = principal_of_bearer(raw, request.headers.get(WORKSPACE_HEADER, ""))
        return SignedIn(pk=principal.user_id), principal

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def principal_of_bearer(raw: str, workspace_slug: str = "") -> Principal:
    """The principal of an access token or API key, for HTTP and WebSocket; otherwise TokenInvalid.

    Counts one request or frame; RateLimited above the limit.
    """
    is_key = looks_like_key(raw)
    principal = principal_from_key(raw, workspace_slug) if is_key else principal_from_access(raw)
    count_request(principal)
    return principal


def still_stands(principal: Principal) -> bool:
    """Whether the principal would be let in again now: membership, password, workspace, key and sign-in."""
    now = find_principal(
        user_id=principal.user_id,
        tenant_slug=principal.tenant.slug,
        workspace_slug=principal.workspace.slug,
        family=principal.family,
    )
    if now is None or now.bounds != principal.bounds:
        return False
    return not principal.api_key or is_alive(principal.api_key)


def token_of(authorization: bytes, api_key: str) -> str | None:
    """The token or key of a request, from either header; None without one.

    TokenInvalid if both are sent and differ, since it is then unclear whose request it is.
    """
    bearer, key = bearer_token(authorization), api_key.strip()
    if bearer and key and bearer != key:
        raise TokenInvalid("The headers Authorization and x-api-key have different keys. Send one of them.")
    return bearer or key or None


def bearer_token(header: bytes) -> str | None:
    """The token in an Authorization header; None without one, TokenInvalid for another scheme."""
    if not header.strip():
        return None
    scheme, _, token = header.strip().partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise TokenInvalid
    return token.strip().decode("latin-1")
