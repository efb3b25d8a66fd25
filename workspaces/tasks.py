"""Periodic jobs of the workspaces."""

from procrastinate.contrib.django import app

from workspaces.mcp_servers.health import look_at_servers


@app.periodic(cron="*/15 * * * *")
@app.task(
    name="workspaces.look_at_mcp_servers", queueing_lock="workspaces.look_at_mcp_servers", pass_context=False
)
async def look_at_mcp_servers(timestamp: int) -> None:
    """Checks servers that were not checked for some hours: do they respond, and with the same tools?"""
    await look_at_servers()
