"""The gateway's jobs: errands at engines, and what web processes do while any of them lives."""

from procrastinate.contrib.django import app

from gateway.engines.errands import delete_at_engine, rename_at_engine
from gateway.ingress.closing import recover_turns

__all__ = ["delete_at_engine", "recover_lost_turns", "rename_at_engine"]


@app.periodic(cron="* * * * *")
@app.task(name="gateway.recover_turns", queueing_lock="gateway.recover_turns", pass_context=False)
async def recover_lost_turns(timestamp: int) -> None:
    """Ends the turns whose process has gone, so that nothing stays reserved."""
    await recover_turns()
