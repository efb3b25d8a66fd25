"""The OAuth client that signs in at MCP servers."""
