"""The limit on requests and WebSocket frames per minute, over all entry points."""

from uuid import UUID

from django.conf import settings

from accounts.principals import Principal
from kit.rates import spend


def count_request(principal: Principal) -> None:
    """RateLimited for a person or an API key above the limit."""
    if principal.api_key:
        spend(f"key:{principal.api_key}", settings.API_KEY_REQUESTS_PER_MINUTE)
    else:
        count_request_of(principal.user_id)


def count_request_of(user_id: UUID) -> None:
    """For a person: sessions, tokens and apps share one count."""
    spend(f"person:{user_id}", settings.REQUESTS_PER_MINUTE)
