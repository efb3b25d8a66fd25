"""Errors about MCP servers and their tools."""

from kit.errors import Conflict, DomainError


class McpSignInNeeded(Conflict):
    """Details: mcp; how (`member`: each member signs in, `workspace`: a manager does); and `scope`, if the
    current sign-in lacks a scope that the server requires."""

    code, status, message = "mcp_sign_in_needed", 409, "Sign in to this MCP server first."
    did_no_work = False  # the server refused before it ran anything
    wanted_scope = ""  # the additional scope that the server requires, if it named one


class McpServerFailed(DomainError):
    code, status, message = "mcp_server_failed", 502, "The MCP server failed."


class ToolChanged(McpServerFailed):
    code, status = "tool_changed", 502
    message = "This tool has changed since it was accepted. A manager needs to review it."


class McpSignInFailed(McpServerFailed):
    code, status = "mcp_sign_in_failed", 502
    message = "Signing in to the MCP server failed."
