"""The quotas' jobs."""

from procrastinate.contrib.django import app

from quotas.counters import forget_minutes


@app.periodic(cron="17 * * * *")
@app.task(name="quotas.forget_minutes", queueing_lock="quotas.forget_minutes")
def forget_past_minutes(timestamp: int) -> None:
    """Counters of single minutes are many, and nobody asks for past ones."""
    forget_minutes()
