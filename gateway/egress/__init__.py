"""The port that engines call: the routed model call and the tools of MCP servers. Only config serves it."""
