"""How many requests and WebSocket frames a caller may send in a minute, wherever they come in."""

from uuid import UUID

from django.conf import settings

from accounts.principals import Principal
from kit.rate_limits import spend


def count_request(principal: Principal) -> None:
    """RateLimited for a person, or an API key, that has sent more this minute than they may."""
    if principal.api_key:
        spend(f"key:{principal.api_key}", settings.API_KEY_REQUESTS_PER_MINUTE)
    else:
        count_request_of(principal.user_id)


def count_request_of(user_id: UUID) -> None:
    """The same for a person: by session, by token and by app it is one count."""
    spend(f"person:{user_id}", settings.REQUESTS_PER_MINUTE)
