"""A scripted model behind Anthropic's Messages API that refuses what Anthropic refuses.

Protocol: https://docs.anthropic.com/en/api/messages
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from tests.compat.providers.http import Call, JsonObject, Refused
from tests.compat.providers.openai_chat import _objects_in
from tests.compat.providers.script import THOUGHT, Conversation, ToolUse, reply_to, tokens_in

PARAMETERS = set(
    """cache_control container context_management inference_geo max_tokens mcp_servers messages metadata model output_config
    service_tier stop_sequences stream system temperature thinking tool_choice tools top_k top_p""".split()
)
COUNTED = {
    "cache_control",
    "messages",
    "model",
    "output_config",
    "system",
    "thinking",
    "tool_choice",
    "tools",
}
BLOCKS = {
    "user": {"text", "image", "document", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
SIGNATURE = "signature-of-this-thought"
CACHED_TOKENS = 12  # reported whenever the request marks something for the cache
OVERFLOW = "overflow"
EFFORTS = {"low", "medium", "high", "xhigh", "max"}


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
    """Either header: Anthropic's own library sends a bearer token, others `x-api-key`."""
    if key not in (
        call.headers.get("x-api-key"),
        call.headers.get("authorization", "").removeprefix("Bearer "),
    ):
        raise error(401, "invalid x-api-key")


def count(body: JsonObject) -> JsonObject:
    _check_keys(body, COUNTED, "")
    return {"input_tokens": _input_tokens(body)}


def answer(call: Call) -> JsonObject | Iterator[str]:
    """The whole answer, or the frames of a stream; Refused."""
    body = call.body
    if "anthropic-version" not in call.headers:
        raise error(400, "anthropic-version: header is required")
    _check_parameters(body)
    _check_thinking(body)
    _check_messages(body)
    _check_tools(body)
    _check_format(body)
    if json.dumps(body).count('"cache_control"') > 4:
        raise error(400, "A maximum of 4 blocks with cache_control may be provided.")
    if body["model"] == OVERFLOW:
        raise error(400, "prompt is too long: 210000 tokens > 200000 maximum")
    reply = reply_to(_conversation(body))
    blocks = _blocks(body, reply)
    return _frames(body, blocks) if body.get("stream") else _whole(body, blocks)


def _check_keys(value: JsonObject, allowed: set[str], where: str) -> None:
    for name in value:
        if name not in allowed:
            raise error(400, f"{where}{name}: Extra inputs are not permitted")


def _check_parameters(body: JsonObject) -> None:
    _check_keys(body, PARAMETERS, "")
    for name in ("model", "max_tokens", "messages"):
        if not body.get(name):
            raise error(400, f"{name}: Field required")
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


def _thinks(body: JsonObject) -> bool:
    return (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}


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
    if _thinks(body) and body.get("temperature", 1) != 1:
        raise error(400, "`temperature` may only be set to 1 when thinking is enabled.")
    if _thinks(body) and (body.get("tool_choice") or {}).get("type") in {"any", "tool"}:
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
        blocks = _as_blocks(message.get("content"))
        if not blocks:
            raise error(400, f"{where}: all messages must have non-empty content")
        _check_blocks(blocks, BLOCKS[role], where)
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != unanswered:
            raise error(
                400,
                f"{where}: `tool_use` ids {sorted(unanswered)} and `tool_result` blocks {sorted(results)} differ",
            )
        unanswered = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if unanswered and _thinks(body) and blocks[0]["type"] not in {"thinking", "redacted_thinking"}:
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
    uses = any(b["type"] == "tool_use" for m in body["messages"] for b in _as_blocks(m["content"]))
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
        if any(each.get("additionalProperties") is not False for each in _objects_in(wanted["schema"])):
            raise error(400, "output_config.format.schema: 'additionalProperties' must be false")


def _as_blocks(content: Any) -> list[JsonObject]:
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []


def _conversation(body: JsonObject) -> Conversation:
    blocks = _as_blocks(body["messages"][-1]["content"])
    choice = body.get("tool_choice") or {}
    kinds = {"auto": "auto", "any": "required", "none": "none", "tool": choice.get("name")}
    wanted = (body.get("output_config") or {}).get("format") or {}
    return Conversation(
        user_text=" ".join(block["text"] for block in blocks if block["type"] == "text"),
        images=sum(block["type"] == "image" for block in blocks),
        has_tool_result=any(block["type"] == "tool_result" for block in blocks),
        tools={tool["name"]: tool["input_schema"] for tool in body.get("tools") or ()},
        tool_choice=kinds.get(choice.get("type", "auto")),
        schema=wanted.get("schema"),
    )


def _input_tokens(body: JsonObject) -> int:
    return tokens_in([body.get("system"), body["messages"], body.get("tools")])


def _usage(body: JsonObject, written: int) -> JsonObject:
    cached = CACHED_TOKENS if '"cache_control"' in json.dumps(body) else 0
    return {
        "input_tokens": _input_tokens(body),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": written,
    }


def _blocks(body: JsonObject, reply: tuple[str, ...] | ToolUse) -> list[tuple[JsonObject, list[JsonObject]]]:
    """Each block as it begins, and its deltas."""
    blocks: list[tuple[JsonObject, list[JsonObject]]] = []
    if _thinks(body):
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in THOUGHT]
        signed = {"type": "signature_delta", "signature": SIGNATURE}
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]))
    if isinstance(reply, ToolUse):
        text = json.dumps(reply.arguments)
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:4], text[4:])]
        blocks.append(({"type": "tool_use", "id": "toolu_7", "name": reply.name, "input": {}}, deltas))
    else:
        deltas = [{"type": "text_delta", "text": piece} for piece in reply]
        blocks.append(({"type": "text", "text": ""}, deltas))
    return blocks


def _head(body: JsonObject, content: list[JsonObject], stop: str | None, written: int) -> JsonObject:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": _usage(body, written),
    }


def _stop_reason(blocks: list[tuple[JsonObject, list[JsonObject]]]) -> str:
    return "tool_use" if blocks[-1][0]["type"] == "tool_use" else "end_turn"


def _whole(body: JsonObject, blocks: list[tuple[JsonObject, list[JsonObject]]]) -> JsonObject:
    content = []
    for start, deltas in blocks:
        block = dict(start)
        for delta in deltas:
            for name in ("text", "thinking", "signature"):
                if name in delta:
                    block[name] += delta[name]
        if block["type"] == "tool_use":
            block["input"] = json.loads("".join(delta["partial_json"] for delta in deltas))
        content.append(block)
    return _head(body, content, _stop_reason(blocks), tokens_in(content))


def _frames(body: JsonObject, blocks: list[tuple[JsonObject, list[JsonObject]]]) -> Iterator[str]:
    yield _event("message_start", message=_head(body, [], None, 1))
    yield _event("ping")
    written = 0
    for index, (start, deltas) in enumerate(blocks):
        yield _event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            written += tokens_in(
                delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
            )
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    delta = {"stop_reason": _stop_reason(blocks), "stop_sequence": None}
    yield _event("message_delta", delta=delta, usage={"output_tokens": written})
    yield _event("message_stop")


def _event(kind: str, **data: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"
