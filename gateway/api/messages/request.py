"""Translates the body of `POST /v1/messages` into a request for one model call.

Protocol: https://docs.anthropic.com/en/api/messages
"""

import re
from dataclasses import replace

from gateway.api.messages.history import Translated, translated_messages
from gateway.api.messages.inputs import wrong
from gateway.api.messages.parameters import native_parameters, translated_parameters
from gateway.api.messages.tools import TranslatedTool, translated_tools
from gateway.errors import UnsupportedParameter
from gateway.providers.anthropic_native import NATIVE
from gateway.providers.base import JsonObject, NativeParameters
from gateway.turns.completion_request import CompletionRequest, expect_sound
from kit.errors import InvalidInput

MESSAGE = re.compile(r"messages\[(\d+)\]")
NAMES = {"stop": "stop_sequences", "response_format": "output_config", "reasoning_effort": "thinking"}


def completion_of(body: JsonObject, headers: dict[str, str]) -> CompletionRequest:
    """The request in OpenAI's shape, with Anthropic's parameters in `native`.

    InvalidInput names the field as the client sent it; UnsupportedParameter names a field not passed on.
    """
    expect_sound(body)
    native = native_parameters(body)
    messages = translated_messages(body.get("system"), body.get("messages", []))
    tools = translated_tools(body.get("tools"))
    chat: JsonObject = {
        **translated_parameters(native),
        "messages": [each.message for each in messages],
        **{name: body[name] for name in ("model", "max_tokens", "stream") if name in body},
    }
    if translated := [each.tool for each in tools if each.tool is not None]:
        chat["tools"] = translated
    try:
        completion = CompletionRequest.from_body(chat, headers=headers, original=body)
    except InvalidInput as error:
        raise _renamed(error, messages) from error
    return replace(
        completion,
        messages=[each.with_original for each in messages],
        tools=[_with_definition(each) for each in tools if each.native is not None],
        native=NativeParameters(native, frozenset(completion.extra)),
    )


def expect_bound(body: JsonObject) -> None:
    """InvalidInput without `max_tokens`, which Anthropic's API requires."""
    if body.get("max_tokens") is None:
        wrong("max_tokens", "This field is required.")


def _with_definition(tool: TranslatedTool) -> JsonObject:
    """A tool that only Claude has keeps its name, which distinguishes its calls from the workspace's."""
    own = tool.native or {}
    return {**(tool.tool or {"name": own.get("name")}), NATIVE: own}


def _renamed(error: InvalidInput, messages: list[Translated]) -> InvalidInput:
    """The same refusal with the client's own names for the fields."""
    if isinstance(error, UnsupportedParameter):
        return error
    return InvalidInput(**{_name_of(name, messages): problems for name, problems in error.details.items()})


def _name_of(name: str, messages: list[Translated]) -> str:
    if found := MESSAGE.match(name):
        at = int(found[1])
        return messages[at].path if at < len(messages) else "messages"
    return NAMES.get(name, name)
