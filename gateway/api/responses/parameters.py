"""A Responses request's parameters as those of chat completions, and errors back.

Protocol: https://platform.openai.com/docs/api-reference/responses/create
"""

from collections.abc import Callable, Sequence
from typing import Any

from gateway.errors import UnsupportedParameter
from gateway.providers.base import JsonObject
from kit.errors import DomainError, InvalidInput

# Translated, or kept with the response, by this route.
OWN = {
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "reasoning",
    "max_output_tokens",
    "metadata",
    "store",
    "include",
    "truncation",
    "stream",
    "stream_options",
    "previous_response_id",
    "top_logprobs",
    "background",
    "client_metadata",  # codex's own record of its session; OpenAI's models do not get it either
}
MOVED = {
    "messages": "Send input instead.",
    "max_tokens": "Send max_output_tokens instead.",
    "max_completion_tokens": "Send max_output_tokens instead.",
    "response_format": "Send text.format instead.",
    "reasoning_effort": "Send reasoning.effort instead.",
    "verbosity": "Send text.verbosity instead.",
    "logprobs": 'Send include: ["message.output_text.logprobs"] instead.',
}
REFUSED = {
    **MOVED,
    "conversation": "Send previous_response_id to continue a conversation.",
    "prompt": "Prompt templates of the workspace are used by POST /v1/chat/send.",
    "max_tool_calls": "The workspace bounds the calls of a turn.",
    "context_management": "Send truncation instead, or shorten the input.",
    "background_options": "Responses do not run in the background.",
    "moderation": "Use POST /v1/moderations.",
    "access_programs": "This is for OpenAI's own models only.",
    "image": "Images are sent as they are.",
}
INCLUDES = ("reasoning.encrypted_content", "message.output_text.logprobs", "message.input_image.image_url")
# Fields of the chat body that errors may name, and what the client calls them.
NAMES = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "logprobs": "include",
    "messages": "input",
}
MOST_METADATA, LONGEST_METADATA_KEY, LONGEST_METADATA = 16, 64, 512


def passed_on(body: JsonObject) -> JsonObject:
    """The parameters that are the same in chat completions, and unknown ones. UnsupportedParameter."""
    others = {name: value for name, value in body.items() if name not in OWN and value is not None}
    if refused := next((name for name in others if name in REFUSED), None):
        raise UnsupportedParameter(refused, REFUSED[refused])
    if body.get("background"):
        raise UnsupportedParameter("background", "Send stream, and resume by previous_response_id.")
    return others


def translated(body: JsonObject) -> JsonObject:
    """The parameters that have another name or place in chat completions."""
    wanted: JsonObject = {}
    if body.get("max_output_tokens") is not None:
        wanted["max_completion_tokens"] = body["max_output_tokens"]
    wanted |= _text(_object(body, "text"))
    wanted |= _reasoning(_object(body, "reasoning"))
    wants_logprobs = "message.output_text.logprobs" in includes(body.get("include"))
    if wants_logprobs or body.get("top_logprobs") is not None:
        wanted["logprobs"] = True
    if body.get("top_logprobs") is not None:
        wanted["top_logprobs"] = body["top_logprobs"]
    return wanted


def _object(body: JsonObject, name: str) -> JsonObject:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(**{name: ["Send an object."]})
    return {field: inner for field, inner in value.items() if inner is not None}


def _expect_known(name: str, given: JsonObject, known: Sequence[str]) -> None:
    if unknown := next((field for field in given if field not in known), None):
        raise UnsupportedParameter(f"{name}.{unknown}", f"Known fields: {', '.join(known)}.")


def _text(text: JsonObject) -> JsonObject:
    _expect_known("text", text, ("format", "verbosity"))
    wanted: JsonObject = {"verbosity": text["verbosity"]} if "verbosity" in text else {}
    given = text.get("format")
    if given is None:
        return wanted
    kind = given.get("type") if isinstance(given, dict) else None
    match kind:
        case "text":
            return wanted
        case "json_object":
            return {**wanted, "response_format": {"type": "json_object"}}
        case "json_schema":
            schema = {field: value for field, value in given.items() if field != "type" and value is not None}
            return {**wanted, "response_format": {"type": "json_schema", "json_schema": schema}}
    raise UnsupportedParameter("text.format", "Known types: text, json_object, json_schema.")


def _reasoning(reasoning: JsonObject) -> JsonObject:
    """The reasoning that a provider sends is always shown, so `summary` asks for nothing more."""
    _expect_known("reasoning", reasoning, ("effort", "summary", "generate_summary", "context", "mode"))
    for name, known in (("context", "auto"), ("mode", "standard")):
        if reasoning.get(name, known) != known:
            raise UnsupportedParameter(f"reasoning.{name}", f"Known values: {known}.")
    return {"reasoning_effort": reasoning["effort"]} if "effort" in reasoning else {}


def includes(include: Any) -> list[str]:
    """What else the response is to have. InvalidInput, UnsupportedParameter."""
    if include is None:
        return []
    if not isinstance(include, list):
        raise InvalidInput(include=["Send a list."])
    for name in include:
        if name not in INCLUDES:
            raise UnsupportedParameter("include", f"{str(name)[:80]}: Known values: {', '.join(INCLUDES)}.")
    return include


def checked_metadata(metadata: Any) -> dict[str, str]:
    """At most 16 short texts, as at OpenAI. InvalidInput."""
    if metadata is None:
        return {}
    is_sound = isinstance(metadata, dict) and all(
        isinstance(value, str) and len(name) <= LONGEST_METADATA_KEY and len(value) <= LONGEST_METADATA
        for name, value in metadata.items()
    )
    if not is_sound or len(metadata) > MOST_METADATA:
        text = (
            f"Send at most {MOST_METADATA} texts of at most {LONGEST_METADATA} characters, "
            f"with names of at most {LONGEST_METADATA_KEY}."
        )
        raise InvalidInput(metadata=[text])
    return dict(metadata)


def truth(body: JsonObject, name: str, *, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidInput(**{name: ["Send true or false."]})
    return value


def renamed(error: DomainError, source_of: Callable[[int], str]) -> DomainError:
    """The error with the client's own names of the fields; `source_of` names a message's item."""
    names = {name: _client_name(name, source_of) for name in error.details}
    param = error.details.get("provider_param")
    if isinstance(error, InvalidInput):
        details = {names[name]: problem for name, problem in error.details.items()}
        if details.keys() == error.details.keys():
            return error
        text = error.text
        for name, better in names.items():
            text = text.replace(f"{name}:", f"{better}:", 1) if text.startswith(f"{name}:") else text
        return _copy(error, text, details)
    if isinstance(param, str) and param:
        return _copy(error, error.text, {**error.details, "provider_param": _client_name(param, source_of)})
    return error


def _copy(error: DomainError, text: str, details: JsonObject) -> DomainError:
    other = type(error).__new__(type(error))
    other.__dict__.update(error.__dict__)
    DomainError.__init__(other, text, **details)
    return other


def _client_name(name: str, source_of: Callable[[int], str]) -> str:
    head, bracket, rest = name.partition("[")
    if head == "messages" and bracket:
        number, _, tail = rest.partition("]")
        return f"{source_of(int(number)) if number.isdecimal() else 'input'}{tail}"
    top, dot, tail = head.partition(".")
    return NAMES.get(top, top) + dot + tail + bracket + rest
