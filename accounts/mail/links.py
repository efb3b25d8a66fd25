"""Links in mails: always below SITE_URL, because a request's sender chooses its Host header."""

from django.conf import settings
from django.urls import reverse

# The pages that allauth's mails link to, by allauth's names.
ALLAUTH_PAGES = {"account_signup", "account_reset_password", "account_confirm_email"}
RESET_PAGE = "account_reset_password_from_key"


def site_link(path: str) -> str:
    """The absolute URL of one of our paths."""
    return f"{settings.SITE_URL}{path}"


def allauth_link(name: str, key: str = "") -> str | None:
    """The URL of allauth's page `name` with the mail's `key`; None for a page that no mail links to."""
    if name == RESET_PAGE:
        user, _, token = key.partition("-")
        return site_link(reverse(name, kwargs={"uidb36": user, "key": token}))
    if name in ALLAUTH_PAGES:
        return site_link(reverse(name, args=[key] if key else []))
    return None
