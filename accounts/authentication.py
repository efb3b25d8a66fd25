"""Bearer tokens for DRF: `request.auth` is the Principal, `request.user` a signed-in stand-in for it."""

from dataclasses import dataclass
from uuid import UUID

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from accounts.principals import Principal
from accounts.tokens import principal_from_access
from kit.errors import TokenInvalid


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
        principal = principal_from_access(raw)
        return SignedIn(pk=principal.user_id), principal

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def bearer_token(header: bytes) -> str | None:
    """The token in an Authorization header; None without one, TokenInvalid for another scheme."""
    if not header.strip():
        return None
    scheme, _, token = header.strip().partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise TokenInvalid
    return token.strip().decode("latin-1")
