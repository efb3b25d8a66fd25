"""Jobs of accounts: send mail, delete what has expired, restart the jobs of dead workers."""

from django.core.management import call_command
from procrastinate.contrib.django import app

from accounts.audit.refusals import write_repeats
from accounts.mail.queue import deliver_mail, forget_old_mail
from accounts.sign_in.token_families import forget_ended_families
from accounts.teams.invitation_limits import forget_old_counts
from accounts.teams.limits import forget_old_foundings
from kit.stalled_jobs import retry_stalled_jobs

__all__ = ["clear_expired", "count_refusals", "deliver_mail", "forget_jobs", "retry_stalled"]

JOBS_STORED_HOURS = 7 * 24


@app.periodic(cron="* * * * *")
@app.task(name="accounts.count_refusals", queueing_lock="accounts.count_refusals")
def count_refusals(timestamp: int) -> None:
    """Writes one audit entry for the refusals that repeated within a minute."""
    write_repeats()


@app.periodic(cron="* * * * * */15")  # the sixth field is seconds
@app.task(name="accounts.retry_stalled", queueing_lock="accounts.retry_stalled", pass_context=False)
async def retry_stalled(timestamp: int) -> None:
    """The jobs of a killed worker continue within 45 s: 30 s of silence, 15 s until the next run."""
    await retry_stalled_jobs()


@app.periodic(cron="37 3 * * *")
@app.task(name="accounts.forget_jobs", queueing_lock="accounts.forget_jobs", pass_context=False)
async def forget_jobs(timestamp: int) -> None:
    """Deletes the records of jobs that ended a week ago: periodic jobs leave some 10,000 a day."""
    await app.job_manager.delete_old_jobs(
        nb_hours=JOBS_STORED_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
    )


@app.periodic(cron="17 3 * * *")
@app.task(name="accounts.clear_expired", queueing_lock="accounts.clear_expired")
def clear_expired(timestamp: int) -> None:
    """These tables grow with every sign-in; expired rows are of no use."""
    call_command("flushexpiredtokens")
    call_command("clearsessions")
    forget_old_mail()
    forget_ended_families()
    forget_old_counts()
    forget_old_foundings()
