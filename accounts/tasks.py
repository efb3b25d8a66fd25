"""The accounts' jobs: sending mail, and clearing away what has run out."""

from django.core.management import call_command
from procrastinate.contrib.django import app

from accounts.invitation_limits import forget_old_counts
from accounts.mail_queue import deliver_mail, forget_old_mail

__all__ = ["clear_expired", "deliver_mail"]


@app.periodic(cron="17 3 * * *")
@app.task(name="accounts.clear_expired", queueing_lock="accounts.clear_expired")
def clear_expired(timestamp: int) -> None:
    """These tables grow with every sign-in; what has expired opens nothing any more."""
    call_command("flushexpiredtokens")
    call_command("clearsessions")
    forget_old_mail()
    forget_old_counts()
