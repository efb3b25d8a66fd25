"""Links in mails: always below SITE_URL, for the Host header of a request is the sender's to choose."""

from django.conf import settings
from django.urls import reverse

# The pages that allauth's mails lead to, by the names that it asks for them with.
ALLAUTH_PAGES = {"account_signup", "account_reset_password", "account_confirm_email"}
RESET_PAGE = "account_reset_password_from_key"


def site_link(path: str) -> str:
    """The full address of one of our paths, as mails name it."""
    return f"{settings.SITE_URL}{path}"


def allauth_link(name: str, key: str = "") -> str | None:
    """The page called `name` in allauth, with the mail's `key` in it; None for a page that no mail names."""
    if name == RESET_PAGE:
        user, _, token = key.partition("-")
        return site_link(reverse(name, kwargs={"uidb36": user, "key": token}))
    if name in ALLAUTH_PAGES:
        return site_link(reverse(name, args=[key] if key else []))
    return None
