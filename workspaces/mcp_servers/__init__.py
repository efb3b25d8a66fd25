"""The MCP servers that a workspace has installed, and the tools that they offer."""
