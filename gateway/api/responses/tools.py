"""A request's tools and the functions that stand for them in a model call, and back.

Custom tools become functions with one text argument, `input`, so that they work with every model; the tools
of a namespace get its name in front.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.calls.tool_names import wire_name
from gateway.errors import UnsupportedParameter
from gateway.providers.base import JsonObject
from gateway.turns.workspace_tools import FIELDS as MCP_FIELDS
from kit.errors import InvalidInput

LONGEST_NAME = 64  # characters of a function's name at most providers
DIGEST_LENGTH = 8
INVALID = re.compile(r"[^A-Za-z0-9_-]")
SEPARATOR = "__"  # between a namespace and a tool's name
INPUT = "input"  # the one argument of a custom tool
LOCAL_SHELL = "local_shell"
SHELL_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}, "description": "The command to run"},
        "working_directory": {"type": "string"},
        "timeout_ms": {"type": "number"},
    },
    "required": ["command"],
}
KNOWN = "function, custom, namespace, local_shell, mcp"
NOT_HERE = f"Tools that a provider runs itself are not supported here. Known types: {KNOWN}."
FORCED = ("function", "custom")


@dataclass(frozen=True, slots=True)
class ClientTool:
    """A tool that the client runs: `kind` is `function`, `custom` or `local_shell`."""

    kind: str
    name: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class ToolTable:
    """`shown` are the tools in use as the client sent them, `definitions` as a model call has them."""

    shown: list[JsonObject]
    definitions: list[JsonObject]
    by_function: dict[str, ClientTool]

    def tool_of(self, function: str) -> ClientTool:
        """What a model's call is for; a function that was not offered is the client's to refuse."""
        return self.by_function.get(function) or ClientTool("function", function)


def function_name(name: str, namespace: str = "") -> str:
    """The name in a model call; ends in a hash if the namespace makes it too long."""
    if not namespace:
        return name
    whole = f"{namespace}{SEPARATOR}{name}"
    valid = INVALID.sub("_", whole)
    if valid == whole and len(whole) <= LONGEST_NAME:
        return whole
    digest = hashlib.sha256(f"{namespace}\n{name}".encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{valid[: LONGEST_NAME - DIGEST_LENGTH - 1]}_{digest}"


def tool_table(tools: Any, *, path: str = "tools") -> ToolTable:
    """InvalidInput and UnsupportedParameter name the tool."""
    if tools is None:
        tools = []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidInput(**{path: ["Send a list of tools."]})
    definitions: list[JsonObject] = []
    by_function: dict[str, ClientTool] = {}
    for at, tool in enumerate(tools):
        for own, definition in _translated(tool, f"{path}[{at}]"):
            if own is not None:
                name = definition["function"]["name"]
                if name in by_function:
                    raise InvalidInput(**{f"{path}[{at}].name": [f"Two tools are called {own.name}."]})
                by_function[name] = own
            definitions.append(definition)
    return ToolTable(shown=tools, definitions=definitions, by_function=by_function)


def _translated(tool: JsonObject, path: str) -> Iterator[tuple[ClientTool | None, JsonObject]]:
    match tool.get("type"):
        case "namespace":
            inner = tool.get("tools")
            if not isinstance(inner, list) or not isinstance(tool.get("name"), str):
                raise InvalidInput(**{f"{path}.tools": ["A namespace needs a name and a list of tools."]})
            for at, each in enumerate(inner):
                yield _client_tool(each, f"{path}.tools[{at}]", namespace=tool["name"])
        case "mcp":
            yield None, _mcp_tool(tool, path)
        case _:
            yield _client_tool(tool, path)


def _client_tool(tool: Any, path: str, *, namespace: str = "") -> tuple[ClientTool, JsonObject]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind == LOCAL_SHELL and not namespace:
        own = ClientTool(LOCAL_SHELL, LOCAL_SHELL)
        text = "Runs a command on the client's computer and returns its output."
        return own, _function(LOCAL_SHELL, text, {"parameters": SHELL_SCHEMA})
    maker = DEFINITIONS.get(kind) if isinstance(kind, str) else None
    if maker is None:
        raise UnsupportedParameter(path.partition("[")[0], f"{path}.type {kind}: {NOT_HERE}")
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidInput(**{f"{path}.name": ["A tool needs a name."]})
    return ClientTool(str(kind), name, namespace), maker(tool, function_name(name, namespace))


def _function_tool(tool: JsonObject, name: str) -> JsonObject:
    rest = {field: tool[field] for field in ("parameters", "strict") if tool.get(field) is not None}
    return _function(name, tool.get("description"), rest)


def _custom_tool(tool: JsonObject, name: str) -> JsonObject:
    """A grammar cannot be enforced, so the description has it."""
    given = tool.get("format")
    wanted: JsonObject = given if isinstance(given, dict) else {}
    if definition := wanted.get("definition"):
        how = f"Follow this grammar ({wanted.get('syntax', 'lark')}) exactly:\n{definition}"
    else:
        how = "Free text."
    text = "\n\n".join(part for part in (tool.get("description"), how) if isinstance(part, str))
    schema = {
        "type": "object",
        "properties": {INPUT: {"type": "string", "description": "The whole input of the tool, as text."}},
        "required": [INPUT],
        "additionalProperties": False,
    }
    return _function(name, text, {"parameters": schema})


DEFINITIONS: dict[str, Callable[[JsonObject, str], JsonObject]] = {
    "function": _function_tool,
    "custom": _custom_tool,
}


def _function(name: str, description: Any, rest: JsonObject) -> JsonObject:
    fields = {"description": description} if description else {}
    return {"type": "function", "function": {"name": name, **fields, **rest}}


def _mcp_tool(tool: JsonObject, path: str) -> JsonObject:
    """A server of the workspace; one at another address is installed there first."""
    label = tool.get("server_label")
    if not isinstance(label, str) or not label:
        raise InvalidInput(
            **{f"{path}.server_label": ["Send the name of one of the workspace's MCP servers."]}
        )
    given = {name: value for name, value in tool.items() if value is not None}
    if others := given.keys() - MCP_FIELDS:
        text = f"{path}.{min(others)}: the workspace has the server's address and credentials."
        raise UnsupportedParameter("tools", text)
    return given


def chosen_tools(table: ToolTable, choice: Any) -> tuple[Any, list[JsonObject]]:
    """`tool_choice` for a model call, and the definitions that it leaves. None: not sent."""
    if choice is None or isinstance(choice, str):
        return _named_choice(table, choice), table.definitions
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "allowed_tools":
        return _allowed(table, choice)
    if kind == LOCAL_SHELL:
        choice, kind = {**choice, "name": LOCAL_SHELL}, "function"
    if kind == "mcp" and isinstance(choice.get("name"), str):
        label = str(choice.get("server_label"))
        return {"type": "function", "function": {"name": wire_name(choice["name"], label)}}, table.definitions
    if kind not in FORCED or not isinstance(choice.get("name"), str):
        raise UnsupportedParameter("tool_choice", "Send auto, none, required, or a function or custom tool.")
    wanted = function_name(choice["name"], str(choice.get("namespace") or ""))
    if wanted not in table.by_function:
        raise InvalidInput(tool_choice=[f"tools has no tool called {choice['name']}."])
    return {"type": "function", "function": {"name": wanted}}, table.definitions


def _named_choice(table: ToolTable, choice: str | None) -> str | None:
    if choice not in (None, "auto", "none", "required"):
        raise InvalidInput(tool_choice=["Send auto, none, required, or a tool."])
    if not table.definitions:
        if choice == "required":
            raise InvalidInput(tool_choice=["Send tools as well."])
        return None
    return choice


def _allowed(table: ToolTable, choice: JsonObject) -> tuple[Any, list[JsonObject]]:
    """Only the allowed tools are offered: most providers know no such choice."""
    allowed, mode = choice.get("tools"), choice.get("mode", "auto")
    if not isinstance(allowed, list) or mode not in ("auto", "required"):
        raise InvalidInput(tool_choice=["allowed_tools needs a mode, auto or required, and a list of tools."])
    names = {_name_in_choice(each) for each in allowed if isinstance(each, dict)}
    remaining = [definition for definition in table.definitions if _name_of(definition) in names]
    if not remaining:
        raise InvalidInput(tool_choice=["None of the allowed tools is in tools."])
    return mode, remaining


def _name_in_choice(tool: JsonObject) -> str:
    if tool.get("type") == "mcp":
        return f"mcp:{tool.get('server_label')}"
    return function_name(str(tool.get("name") or tool.get("type")), str(tool.get("namespace") or ""))


def _name_of(definition: JsonObject) -> str:
    if definition["type"] == "mcp":
        return f"mcp:{definition['server_label']}"
    return str(definition["function"]["name"])


def custom_input(arguments: str) -> str:
    """A custom tool's input from the arguments of its function; the text itself if a model sent only that."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = value.get(INPUT) if isinstance(value, dict) else value
    return text if isinstance(text, str) else arguments
