"""Translates Anthropic's tools and tool choice into OpenAI's, and keeps each tool's definition.

Protocol: https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview
"""

import re
from dataclasses import dataclass
from typing import Any

from gateway.api.messages.inputs import a_string, an_object, objects_of, wrong
from gateway.errors import UnsupportedParameter
from gateway.providers.base import JsonObject
from gateway.turns.workspace_tools import KIND

# Tools that Anthropic defines and the client runs. Those that Anthropic runs cost extra.
CLIENT_TOOLS = re.compile(r"(?:bash|text_editor|memory|computer|computer_toolset|browser_toolset)_\d{8}")
FUNCTION = "custom"
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
SERVER_TOOL = "Tools that the provider runs itself are not supported here. Remove it."


@dataclass(frozen=True, slots=True)
class TranslatedTool:
    """A tool in OpenAI's shape, None for one that only Claude has; and its definition, None if it is ours."""

    tool: JsonObject | None
    native: JsonObject | None


def translated_tools(tools: Any) -> list[TranslatedTool]:
    """UnsupportedParameter for a tool that the provider would run itself, such as web_search."""
    return [] if tools is None else [_translated(tool, path) for path, tool in objects_of(tools, "tools")]


def _translated(tool: JsonObject, path: str) -> TranslatedTool:
    kind = tool.get("type")
    if kind == KIND:  # a server of the workspace
        return TranslatedTool(tool, None)
    if kind is None or kind == FUNCTION:
        return TranslatedTool(_function(tool, path), tool)
    if isinstance(kind, str) and CLIENT_TOOLS.fullmatch(kind):
        return TranslatedTool(None, tool)
    raise UnsupportedParameter(f"{path}.type", SERVER_TOOL)


def _function(tool: JsonObject, path: str) -> JsonObject:
    function: JsonObject = {
        "name": a_string(tool.get("name"), f"{path}.name"),
        "parameters": an_object(tool.get("input_schema"), f"{path}.input_schema"),
    }
    if tool.get("description") is not None:
        function["description"] = a_string(tool["description"], f"{path}.description")
    if isinstance(tool.get("strict"), bool):
        function["strict"] = tool["strict"]
    return {"type": "function", "function": function}


def translated_choice(choice: Any) -> JsonObject:
    """OpenAI's `tool_choice` and `parallel_tool_calls`."""
    if choice is None:
        return {}
    wanted = an_object(choice, "tool_choice")
    kind = wanted.get("type")
    if kind == "tool":
        name = a_string(wanted.get("name"), "tool_choice.name")
        found: JsonObject = {"tool_choice": {"type": "function", "function": {"name": name}}}
    elif isinstance(kind, str) and kind in CHOICES:
        found = {"tool_choice": CHOICES[kind]}
    else:
        wrong("tool_choice.type", f"Send one of {', '.join(CHOICES)}, tool.")
    if wanted.get("disable_parallel_tool_use") is True:
        found["parallel_tool_calls"] = False
    return found
