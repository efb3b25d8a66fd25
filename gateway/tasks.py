"""The gateway's jobs: what web processes do for themselves, done also when none of them lives."""

from procrastinate.contrib.django import app

from gateway.ingress.closing import recover_turns


@app.periodic(cron="* * * * *")
@app.task(name="gateway.recover_turns", queueing_lock="gateway.recover_turns", pass_context=False)
async def recover_lost_turns(timestamp: int) -> None:
    """Ends the turns whose process has gone, so that nothing stays reserved."""
    await recover_turns()
