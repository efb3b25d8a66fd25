"""Refuses what Anthropic's Messages API refuses, with its errors.

Protocol: https://docs.anthropic.com/en/api/messages
"""

import base64
import json
import re
from typing import Any

from tests.compat.providers.http import Call, JsonObject, Refused
from tests.compat.providers.schemas import objects_in

PARAMETERS = {
    "cache_control", "container", "context_management", "inference_geo", "max_tokens", "mcp_servers",
    "messages", "metadata", "model", "output_config", "service_tier", "stop_sequences", "stream", "system",
    "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
}  # fmt: skip
COUNTED = {
    "cache_control", "messages", "model", "output_config", "system", "thinking", "tool_choice", "tools",
}  # fmt: skip
BLOCKS = {
    "user": {"text", "image", "document", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
SIGNATURE = "signature-of-this-thought"
EFFORTS = {"low", "medium", "high", "xhigh", "max"}
MOST_CACHE_MARKS = 4


def error(status: int, message: str, **headers: str) -> Refused:
    kinds = {
        400: "invalid_request_error",
        401: "authentication_error",
        404: "not_found_error",
        429: "rate_limit_error",
    }
    return Refused(status, {"type": "error", "error": {"type": kinds[status], "message": message}}, **headers)


def busy(retry_after: int) -> Refused:
    return error(429, "This request would exceed your rate limit.", retry_after=str(retry_after))


def check_key(call: Call, key: str) -> None:
    """Accepts either header: Anthropic's own library sends a bearer token, others `x-api-key`."""
    if key not in (
        call.headers.get("x-api-key"),
        call.headers.get("authorization", "").removeprefix("Bearer "),
    ):
        raise error(401, "invalid x-api-key")


def check_counted(body: JsonObject) -> None:
    """Raises Refused as Anthropic's token counting does."""
    _check_keys(body, COUNTED, "")


def check(call: Call) -> None:
    """Raises Refused as Anthropic does."""
    body = call.body
    if "anthropic-version" not in call.headers:
        raise error(400, "anthropic-version: header is required")
    _check_parameters(body)
    _check_thinking(body)
    _check_messages(body)
    _check_tools(body)
    _check_format(body)
    if json.dumps(body).count('"cache_control"') > MOST_CACHE_MARKS:
        raise error(400, "A maximum of 4 blocks with cache_control may be provided.")


def thinks(body: JsonObject) -> bool:
    return (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}


def _check_keys(value: JsonObject, allowed: set[str], where: str) -> None:
    for name in value:
        if name not in allowed:
            raise error(400, f"{where}{name}: Extra inputs are not permitted")


def _check_parameters(body: JsonObject) -> None:
    _check_keys(body, PARAMETERS, "")
    for name in ("model", "max_tokens", "messages"):
        if not body.get(name):
            raise error(400, f"{name}: Field required")
    if body["max_tokens"] < 1:
        raise error(400, "max_tokens: must be greater than or equal to 1")
    for name in ("temperature", "top_p"):
        if body.get(name) is not None and not 0 <= body[name] <= 1:
            raise error(400, f"{name}: range: 0..1")
    if body.get("temperature") is not None and body.get("top_p") is not None:
        raise error(400, "`temperature` and `top_p` cannot both be specified for this model.")
    if not all(isinstance(text, str) and text.strip() for text in body.get("stop_sequences", ())):
        raise error(400, "stop_sequences: each stop sequence must contain non-whitespace")
    _check_keys(body.get("metadata") or {}, {"user_id"}, "metadata.")
    if isinstance(body.get("system"), list):
        _check_blocks(body["system"], {"text"}, "system")


def _check_thinking(body: JsonObject) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    if thinking.get("type") not in {"enabled", "adaptive", "disabled"}:
        raise error(400, "thinking.type: unknown")
    if thinking["type"] == "enabled":
        budget = thinking.get("budget_tokens", 0)
        if not 1024 <= budget < body["max_tokens"]:
            raise error(
                400, "`max_tokens` must be greater than `thinking.budget_tokens`, which must be at least 1024"
            )
    if thinks(body) and body.get("temperature", 1) != 1:
        raise error(400, "`temperature` may only be set to 1 when thinking is enabled.")
    if thinks(body) and (body.get("tool_choice") or {}).get("type") in {"any", "tool"}:
        raise error(400, "Thinking may not be enabled when tool_choice forces tool use.")


def _check_messages(body: JsonObject) -> None:
    messages = body["messages"]
    if messages[0].get("role") != "user":
        raise error(400, 'messages: first message must use the "user" role')
    unanswered: set[str] = set()
    for at, message in enumerate(messages):
        where, role = f"messages.{at}", message.get("role")
        if role not in BLOCKS:
            raise error(400, f"{where}: unexpected role")
        blocks = as_blocks(message.get("content"))
        if not blocks:
            raise error(400, f"{where}: all messages must have non-empty content")
        _check_blocks(blocks, BLOCKS[role], where)
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != unanswered:
            raise error(
                400,
                f"{where}: `tool_use` {sorted(unanswered)} and `tool_result` {sorted(results)} differ",
            )
        unanswered = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if unanswered and thinks(body) and blocks[0]["type"] not in {"thinking", "redacted_thinking"}:
            raise error(400, f"{where}.content.0.type: Expected `thinking`, but found `{blocks[0]['type']}`.")
    if unanswered:
        raise error(400, f"`tool_use` ids were found without `tool_result` blocks: {sorted(unanswered)}")


def _check_blocks(blocks: list[JsonObject], allowed: set[str], where: str) -> None:
    for at, block in enumerate(blocks):
        here = f"{where}.content.{at}"
        if block.get("type") not in allowed:
            raise error(
                400, f"{here}: Input tag '{block.get('type')}' does not match any of the expected tags"
            )
        match block["type"]:
            case "text":
                if not block.get("text", "").strip():
                    raise error(400, "messages: text content blocks must contain non-whitespace text")
            case "thinking":
                if block.get("signature") != SIGNATURE:
                    raise error(400, f"{here}: Invalid `signature` in `thinking` block")
            case "image":
                _check_image(block.get("source") or {}, here)
        if block.get("cache_control") is not None and block["cache_control"].get("type") != "ephemeral":
            raise error(400, f"{here}.cache_control.type: Input should be 'ephemeral'")


def _check_image(source: JsonObject, where: str) -> None:
    if source.get("type") == "base64":
        try:
            base64.b64decode(source["data"], validate=True)
        except (KeyError, ValueError):
            raise error(400, f"{where}.image.source.base64: invalid base64 data") from None
    elif source.get("type") != "url":
        raise error(400, f"{where}.image.source: unknown type")


def _check_tools(body: JsonObject) -> None:
    tools = body.get("tools") or []
    if body.get("tool_choice") and not tools:
        raise error(400, "tool_choice: may only be specified while providing tools")
    for at, tool in enumerate(tools):
        _check_keys(
            tool, {"name", "description", "input_schema", "cache_control", "type", "strict"}, f"tools.{at}."
        )
        if (
            not NAME.fullmatch(tool.get("name", ""))
            or (tool.get("input_schema") or {}).get("type") != "object"
        ):
            raise error(400, f"tools.{at}.custom.input_schema.type: Field required")
    uses = any(b["type"] == "tool_use" for m in body["messages"] for b in as_blocks(m["content"]))
    if uses and not tools:
        raise error(400, "Requests which include `tool_use` blocks must define tools")


def _check_format(body: JsonObject) -> None:
    config = body.get("output_config") or {}
    _check_keys(config, {"effort", "format"}, "output_config.")
    if config.get("effort") not in {None, *EFFORTS}:
        raise error(400, "output_config.effort: unknown")
    if wanted := config.get("format"):
        if wanted.get("type") != "json_schema" or "schema" not in wanted:
            raise error(400, "output_config.format: Field required")
        if any(each.get("additionalProperties") is not False for each in objects_in(wanted["schema"])):
            raise error(400, "output_config.format.schema: 'additionalProperties' must be false")


def as_blocks(content: Any) -> list[JsonObject]:
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
