"""The workspaces' jobs."""

from procrastinate.contrib.django import app

from workspaces.mcp_servers.health import check_due_servers


@app.periodic(cron="*/15 * * * *")
@app.task(
    name="workspaces.look_at_mcp_servers", queueing_lock="workspaces.look_at_mcp_servers", pass_context=False
)
async def look_at_mcp_servers(timestamp: int) -> None:
    """Whether those that nobody looked at for some hours still answer, and with the tools they had."""
    await check_due_servers()
