"""Errors about MCP servers and their tools."""

from kit.errors import Conflict, DomainError


class McpSignInNeeded(Conflict):
    """Details: mcp, how (`member`: each signs in for themselves, `workspace`: a manager does), and `scope`
    where somebody is signed in with less than the server wants."""

    code, status, message = "mcp_sign_in_needed", 409, "Sign in to this MCP server first."
    did_no_work = False  # the server refused before it ran anything
    wanted_scope = ""  # what the server wants beside, where it said so


class McpServerFailed(DomainError):
    code, status, message = "mcp_server_failed", 502, "The MCP server failed."


class ToolChanged(McpServerFailed):
    code, status = "tool_changed", 502
    message = "This tool has changed since it was accepted. A manager needs to review it."


class McpSignInFailed(McpServerFailed):
    code, status = "mcp_sign_in_failed", 502
    message = "Signing in to the MCP server failed."
