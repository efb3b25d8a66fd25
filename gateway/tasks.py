"""The gateway's jobs: engine copies, lost turns, final deletions, unsent images."""

from procrastinate.contrib.django import app

from accounts.teams.tenants import all_tenants
from gateway.conversations.images import forget_unsent_images
from gateway.conversations.purge import end_grace_periods
from gateway.engines.cleanup import forget_removed_servers
from gateway.engines.outbox import delete_at_engine, rename_at_engine
from gateway.turns.closing import recover_turns, was_database_away
from kit.tenancy import in_public, tenant_scope

__all__ = [
    "delete_at_engine",
    "forget_images",
    "forget_servers_at_engines",
    "purge_after_grace",
    "recover_lost_turns",
    "rename_at_engine",
]


@app.periodic(cron="* * * * *")
@app.task(name="gateway.recover_turns", queueing_lock="gateway.recover_turns", pass_context=False)
async def recover_lost_turns(timestamp: int) -> None:
    """Ends turns whose process is gone, so that nothing stays reserved."""
    await recover_turns(only_given_up=await in_public(was_database_away))


@app.periodic(cron="41 * * * *")
@app.task(name="gateway.end_graces", queueing_lock="gateway.end_graces")
def purge_after_grace(timestamp: int) -> None:
    end_grace_periods()


@app.periodic(cron="23 * * * *")
@app.task(name="gateway.forget_servers", queueing_lock="gateway.forget_servers", pass_context=False)
async def forget_servers_at_engines(timestamp: int) -> None:
    await forget_removed_servers()


@app.periodic(cron="51 * * * *")
@app.task(name="gateway.forget_images", queueing_lock="gateway.forget_images")
def forget_images(timestamp: int) -> None:
    for tenant in all_tenants():
        with tenant_scope(tenant):
            forget_unsent_images()
