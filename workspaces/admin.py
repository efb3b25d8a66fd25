"""What operators see of the tenant that they have opened: each kind has an admin of its own."""

from workspaces.language_models import admin as language_models_admin
from workspaces.mcp_servers import admin as mcp_servers_admin
from workspaces.prompts import admin as prompts_admin

__all__ = ["language_models_admin", "mcp_servers_admin", "prompts_admin"]
