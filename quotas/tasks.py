"""Jobs of the quotas app."""

from procrastinate.contrib.django import app

from quotas.counters import delete_minutes


@app.periodic(cron="17 * * * *")
@app.task(name="quotas.forget_minutes", queueing_lock="quotas.forget_minutes")
def delete_past_minutes(timestamp: int) -> None:
    """Counters of minutes are many, and past ones are never read."""
    delete_minutes()
