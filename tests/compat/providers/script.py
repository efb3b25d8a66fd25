"""The replies of the scripted models. They depend only on the conversation, so no client needs a script."""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

from tests.compat.providers.http import JsonObject
from tests.compat.providers.schemas import sample

GREETING = ("Hello", " there", ".")
WEATHER = ("It is ", "21 degrees ", "in Paris.")
THOUGHT = ("The user ", "greets me.")
# A user may order a tool call: `CALL:` and base64 of a JSON list of `[tool name, arguments]`. The model calls
# the first one that the client offers, because versions of a client name their tools differently.
ORDER = re.compile(r"CALL:([A-Za-z0-9+/]+=*)")
WEATHER_TOOL = "get_weather"
OPEN_TOOL_CHOICES = (None, "auto")
OVERFLOW = "overflow"  # a model whose context window is always too small


@dataclass(frozen=True)
class ToolUse:
    name: str
    arguments: JsonObject


@dataclass(frozen=True)
class Conversation:
    """The parts of a request on which a reply depends, the same for every protocol."""

    user_text: str  # of the last message; empty if that is a tool result
    images: int  # in the last message
    has_tool_result: bool  # as the last message
    tools: dict[str, JsonObject]  # JSON Schema of the parameters by tool name
    tool_choice: str | None = None  # `auto`, `none`, `required`, or the name of a tool
    schema: JsonObject | None = None  # of a structured output


Reply = tuple[str, ...] | ToolUse  # the pieces of a text, or a call


def reply_to(conversation: Conversation) -> Reply:
    """A tool call if one is ordered, required or useful, else a text."""
    if use := _tool_use(conversation):
        return use
    if conversation.schema is not None:
        text = json.dumps(sample(conversation.schema))
        return text[:5], text[5:]
    if conversation.has_tool_result:
        return WEATHER
    if conversation.images:
        return "I see ", f"{conversation.images} image(s)."
    return GREETING


def _tool_use(conversation: Conversation) -> ToolUse | None:
    tools, choice = conversation.tools, conversation.tool_choice
    if not tools or choice == "none":
        return None
    if choice in tools:
        return ToolUse(choice, sample(tools[choice]))
    if ordered := _ordered(conversation):
        return ordered
    if choice == "required":
        wanted = (
            WEATHER_TOOL if WEATHER_TOOL in tools and not conversation.has_tool_result else list(tools)[-1]
        )
        return ToolUse(wanted, sample(tools[wanted]))
    if choice in OPEN_TOOL_CHOICES and WEATHER_TOOL in tools and not conversation.has_tool_result:
        return ToolUse(WEATHER_TOOL, {"city": "Paris"})
    return None


def _ordered(conversation: Conversation) -> ToolUse | None:
    found = ORDER.search(conversation.user_text)
    if found is None:
        return None
    orders = json.loads(base64.b64decode(found[1]))
    return next((ToolUse(name, arguments) for name, arguments in orders if name in conversation.tools), None)


def tokens_in(value: Any) -> int:
    """An estimate: one token per four characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return max(1, len(text) // 4)
