"""Refuses what OpenAI's chat completions refuse, with their errors.

Protocol: https://platform.openai.com/docs/api-reference/chat
"""

import base64
import json
import re
from typing import Any

from tests.compat.providers.http import Call, JsonObject, Refused
from tests.compat.providers.schemas import objects_in

PARAMETERS = {
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_retention",
    "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop", "store",
    "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user",
    "verbosity", "web_search_options",
}  # fmt: skip
ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
PARTS = {
    "system": {"text"},
    "developer": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}
RANGES = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}
EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh"}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def error(
    status: int, message: str, *, param: str | None = None, code: str | None = None, **headers: str
) -> Refused:
    kind = "invalid_request_error" if status < 429 else "requests"
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Refused(status, body, **headers)


def busy(retry_after: int) -> Refused:
    message = f"Rate limit reached for requests. Please try again in {retry_after}s."
    return error(429, message, code="rate_limit_exceeded", retry_after=str(retry_after))


def check_key(call: Call, key: str) -> None:
    if call.headers.get("authorization") != f"Bearer {key}":
        raise error(401, "Incorrect API key provided.", code="invalid_api_key")


def check(body: JsonObject) -> None:
    """Raises Refused as OpenAI does."""
    _check_parameters(body)
    _check_messages(body["messages"])
    _check_tools(body)
    _check_format(body)


def _check_parameters(body: JsonObject) -> None:
    for name in body:
        if name not in PARAMETERS:
            raise error(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    for name in ("model", "messages"):
        if not body.get(name):
            raise error(
                400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
            )
    for name, (low, high) in RANGES.items():
        value = body.get(name)
        if value is not None and not low <= value <= high:
            raise error(
                400,
                f"Invalid '{name}': expected a value from {low} to {high}.",
                param=name,
                code="decimal_above_max_value",
            )
    if body.get("stream_options") is not None and not body.get("stream"):
        raise error(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    if body.get("reasoning_effort") not in {None, *EFFORTS}:
        raise error(
            400, "Invalid value for 'reasoning_effort'.", param="reasoning_effort", code="invalid_value"
        )
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise error(400, "'top_logprobs' needs 'logprobs'.", param="top_logprobs")


def _check_messages(messages: list[JsonObject]) -> None:
    unanswered: set[str] = set()
    for at, message in enumerate(messages):
        where, role = f"messages.[{at}]", message.get("role")
        if role not in ROLES:
            raise error(400, f"Invalid value: '{role}'.", param=f"{where}.role", code="invalid_value")
        if unanswered and role != "tool":
            missing = ", ".join(sorted(unanswered))
            raise error(
                400,
                f"'tool_calls' must be followed by tool messages for each of: {missing}",
                param=where,
            )
        if role == "tool":
            if message.get("tool_call_id") not in unanswered:
                raise error(
                    400, "Messages with role 'tool' must follow a message with that tool call.", param=where
                )
            unanswered.discard(message["tool_call_id"])
        calls = message.get("tool_calls")
        if calls is not None:
            _check_calls(calls, where)
            unanswered = {call["id"] for call in calls}
        _check_content(message, where, may_be_empty=bool(calls) or bool(message.get("refusal")))
    if unanswered:
        raise error(400, "Tool calls without a result.", param="messages")


def _check_calls(calls: Any, where: str) -> None:
    if not isinstance(calls, list) or not calls:
        raise error(
            400,
            f"Invalid '{where}.tool_calls': empty array.",
            param=f"{where}.tool_calls",
            code="empty_array",
        )
    for call in calls:
        function = call.get("function") or {}
        if (
            not call.get("id")
            or call.get("type") != "function"
            or not isinstance(function.get("arguments"), str)
        ):
            raise error(400, "Invalid tool call.", param=f"{where}.tool_calls", code="invalid_type")
        json.loads(function["arguments"] or "{}")


def _check_content(message: JsonObject, where: str, *, may_be_empty: bool) -> None:
    content = message.get("content")
    if content is None:
        if not may_be_empty:
            raise error(
                400, "Invalid value for 'content': expected a string, got null.", param=f"{where}.content"
            )
        return
    for part in [] if isinstance(content, str) else content:
        if part.get("type") not in PARTS.get(message["role"], set()):
            raise error(
                400, f"Invalid value: '{part.get('type')}'.", param=f"{where}.content", code="invalid_value"
            )
        if part["type"] == "image_url":
            _check_image(part["image_url"]["url"], where)


def _check_image(url: str, where: str) -> None:
    if url.startswith("data:"):
        try:
            base64.b64decode(url.partition(",")[2], validate=True)
        except ValueError:
            raise error(
                400, "Invalid base64 image_url.", param=f"{where}.content", code="invalid_base64"
            ) from None
    elif not url.startswith("https://"):
        raise error(400, "Invalid image URL.", param=f"{where}.content", code="invalid_image_url")


def _check_tools(body: JsonObject) -> None:
    tools = body.get("tools")
    if tools is None:
        if body.get("tool_choice") not in (None, "none"):
            raise error(400, "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
        return
    if not tools:
        raise error(400, "Invalid 'tools': empty array.", param="tools", code="empty_array")
    for at, tool in enumerate(tools):
        function = tool.get("function") or {}
        if tool.get("type") != "function" or not NAME.fullmatch(function.get("name", "")):
            raise error(
                400, f"Invalid 'tools[{at}]'.", param=f"tools[{at}].function.name", code="invalid_value"
            )
        if extra := set(function) - {"name", "description", "parameters", "strict"}:
            raise error(
                400,
                f"Unknown parameter: {sorted(extra)}.",
                param=f"tools[{at}].function",
                code="unknown_parameter",
            )
        if function.get("strict"):
            _check_strict(function["parameters"], f"tools[{at}].function.parameters")


def _check_format(body: JsonObject) -> None:
    wanted = body.get("response_format") or {"type": "text"}
    if wanted.get("type") not in {"text", "json_object", "json_schema"}:
        raise error(
            400, "Invalid 'response_format.type'.", param="response_format.type", code="invalid_value"
        )
    if wanted["type"] == "json_schema":
        schema = wanted.get("json_schema") or {}
        if not NAME.fullmatch(schema.get("name") or ""):
            raise error(
                400,
                "Missing required parameter: 'response_format.json_schema.name'.",
                param="response_format.json_schema.name",
            )
        if schema.get("strict"):
            _check_strict(schema["schema"], "response_format")


def _check_strict(schema: JsonObject, where: str) -> None:
    """In a strict schema, objects are closed and all their properties are required."""
    for each in objects_in(schema):
        properties = each.get("properties", {})
        if each.get("additionalProperties") is not False or set(each.get("required", ())) != set(properties):
            message = f"Invalid schema for {where}: 'additionalProperties' is required to be false."
            raise error(400, message, param=where)
