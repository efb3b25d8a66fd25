"""Translates the content of OpenAI's messages into Anthropic's blocks, without I/O.

Protocol: https://docs.anthropic.com/en/api/messages. Blocks of only white space are refused, so left out.
"""

import json
import re
from typing import Any

from gateway.providers.base import JsonObject
from gateway.providers.garbled import a_text, an_object, objects
from kit.errors import InvalidInput

Block = JsonObject

DATA_URL = re.compile(r"data:(image/(?:jpeg|png|gif|webp));base64,(.+)", re.IGNORECASE | re.DOTALL)
PDF_URL = re.compile(r"data:application/pdf;base64,(.+)", re.IGNORECASE | re.DOTALL)
TEXT_URL = re.compile(r"data:text/plain;base64,(.+)", re.IGNORECASE | re.DOTALL)
# Other providers' ids may have more characters, as in `functions.search:0`.
INVALID_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
THINKING_FORMAT = "anthropic-claude-v1"  # OpenRouter's name for Claude's thinking in `reasoning_details`
OWN_BLOCKS = {"document", "search_result"}  # Anthropic's own, passed on unchanged


def parts_of(content: Any) -> list[Block]:
    """The blocks of a text or of a list of parts. InvalidInput for a part that Claude does not take."""
    if isinstance(content, str):
        return _text(content)
    return [_cached(block, part) for part in objects(content) for block in _part(part)]


def text_blocks(content: Any) -> list[Block]:
    return [block for block in parts_of(content) if block["type"] == "text"]


def thinking_blocks(message: JsonObject) -> list[Block]:
    """Claude's own thinking, which it wants back with its signature; other models' is left out."""
    own = [
        detail
        for detail in objects(message.get("reasoning_details"))
        if detail.get("format") == THINKING_FORMAT
    ]
    blocks = [_thinking(detail) for detail in own]
    known = [
        block
        for block in objects(message.get("thinking_blocks"))
        if block.get("signature") or block.get("data")
    ]
    return [block for block in blocks if block] or known


def tool_use_block(call: JsonObject) -> Block:
    """A call that the assistant made.

    Its arguments have to be an object; an invalid text is wrapped in one, so that the model sees it. The
    input of a custom tool is a text.
    """
    custom = an_object(call.get("custom"))
    function = an_object(call.get("function"))
    written = a_text(function.get("arguments"))
    return {
        "type": "tool_use",
        "id": _id(call.get("id")),
        "name": a_text((custom or function).get("name")),
        "input": {"input": a_text(custom.get("input"))} if custom else _arguments(written),
    }


def result_block(message: JsonObject) -> Block:
    """A tool's result; an empty one has no content."""
    block: Block = {"type": "tool_result", "tool_use_id": _id(message.get("tool_call_id"))}
    if content := parts_of(message.get("content")):
        block["content"] = content
    if message.get("is_error") is True:
        block["is_error"] = True
    return _cached(block, message)


def _thinking(detail: JsonObject) -> Block | None:
    if detail.get("type") == "reasoning.encrypted":
        return {"type": "redacted_thinking", "data": a_text(detail.get("data"))}
    signature = a_text(detail.get("signature"))
    if not signature:
        return None
    return {"type": "thinking", "thinking": a_text(detail.get("text")), "signature": signature}


def _cached(block: Block, part: JsonObject) -> Block:
    cache = part.get("cache_control")
    return {**block, "cache_control": cache} if isinstance(cache, dict) else block


def _arguments(written: str) -> JsonObject:
    try:
        value = json.loads(written or "{}")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"unreadable_arguments": written}


def _id(value: Any) -> str:
    return INVALID_IN_IDS.sub("_", a_text(value))


def _text(text: str) -> list[Block]:
    return [{"type": "text", "text": text}] if text.strip() else []


def _part(part: JsonObject) -> list[Block]:
    match part.get("type"):
        case "text":
            return _text(a_text(part.get("text")))
        case "refusal":
            return _text(a_text(part.get("refusal")))
        case "image_url":
            image = part.get("image_url")
            url = image if isinstance(image, str) else a_text(an_object(image).get("url"))
            return [{"type": "image", "source": _image_source(url)}]
        case "file":
            return [_document(an_object(part.get("file")))]
        case kind if kind in OWN_BLOCKS:
            return [part]
        case "input_audio":
            raise _untranslatable("Claude models do not take audio.")
    raise _untranslatable("Claude models take text, images and documents here.")


def _image_source(url: str) -> JsonObject:
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    data = DATA_URL.fullmatch(url)
    if data is None:
        raise _untranslatable("Claude takes images as JPEG, PNG, GIF or WebP, by URL or in base64.")
    return {"type": "base64", "media_type": data[1].lower(), "data": data[2]}


def _document(file: JsonObject) -> Block:
    """A PDF or a text, in base64."""
    written = a_text(file.get("file_data"))
    if data := PDF_URL.fullmatch(written):
        source = {"type": "base64", "media_type": "application/pdf", "data": data[1]}
    elif data := TEXT_URL.fullmatch(written):
        source = {"type": "base64", "media_type": "text/plain", "data": data[1]}
    else:
        raise _untranslatable("Claude models take documents as PDF or text, as a data URL in base64.")
    title = a_text(file.get("filename"))
    return {"type": "document", "source": source, **({"title": title} if title else {})}


def _untranslatable(text: str) -> InvalidInput:
    return InvalidInput(messages=[text])
