"""Limits on mail that anyone can trigger: per recipient, regardless of who triggers it."""

from allauth.core import context
from allauth.core.internal import ratelimit

from accounts.email_addresses import mailbox_of

# mails / time to one address, by allauth's templates. Mail about what a signed-in person did has no limit.
RATES = {
    "account/email/account_already_exists": "1/h/key",
    "account/email/unknown_account": "1/h/key",
    "account/email/password_reset_key": "5/h/key",
    "account/email/password_reset_code": "5/h/key",
    "account/email/login_code": "5/h/key",
    "account/email/email_confirmation": "5/h/key",
    "account/email/email_confirmation_signup": "5/h/key",
}


def may_mail(template_prefix: str, to: str) -> bool:
    """Counts the mail. Above the limit nothing is sent, and the sender sees the usual response."""
    if template_prefix not in RATES:
        return True
    key = mailbox_of(to)
    return bool(
        ratelimit.consume(
            context.request, app="mail", action=template_prefix, config=RATES, key=key, limit_get=True
        )
    )
