"""The accounts' jobs: clearing away sessions and refresh tokens that have run out."""

from django.core.management import call_command
from procrastinate.contrib.django import app


@app.periodic(cron="17 3 * * *")
@app.task(name="accounts.clear_expired", queueing_lock="accounts.clear_expired")
def clear_expired(timestamp: int) -> None:
    """Both tables grow with every sign-in; what has expired opens nothing any more."""
    call_command("flushexpiredtokens")
    call_command("clearsessions")
