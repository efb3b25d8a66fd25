"""Translates the content of OpenAI's messages into Anthropic's blocks, without I/O.

Protocol: https://docs.anthropic.com/en/api/messages. Blocks of only white space are refused, so left out.
"""

import json
import re
from typing import Any

from gateway.errors import ProviderError
from gateway.providers.base import JsonObject
from gateway.providers.garbled import a_text, an_object, objects

Block = JsonObject

DATA_URL = re.compile(r"data:(image/(?:jpeg|png|gif|webp));base64,(.+)", re.IGNORECASE | re.DOTALL)
# Other providers' ids may have more characters, as in `functions.search:0`.
INVALID_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


def parts_of(content: Any, provider: str) -> list[Block]:
    """The blocks of a text or of a list of parts."""
    if isinstance(content, str):
        return _text(content)
    return [block for part in objects(content) for block in _part(part, provider)]


def text_blocks(content: Any, provider: str) -> list[Block]:
    return [block for block in parts_of(content, provider) if block["type"] == "text"]


def tool_use_block(call: JsonObject) -> Block:
    """A call that the assistant made.

    Its arguments have to be an object; an invalid text is wrapped in one, so that the model sees it.
    """
    function = an_object(call.get("function"))
    written = a_text(function.get("arguments"))
    return {
        "type": "tool_use",
        "id": _id(call.get("id")),
        "name": a_text(function.get("name")),
        "input": _arguments(written),
    }


def result_block(message: JsonObject, provider: str) -> Block:
    """A tool's result; an empty one has no content."""
    block: Block = {"type": "tool_result", "tool_use_id": _id(message.get("tool_call_id"))}
    if content := parts_of(message.get("content"), provider):
        block["content"] = content
    return block


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


def _part(part: JsonObject, provider: str) -> list[Block]:
    match part.get("type"):
        case "text":
            return _text(a_text(part.get("text")))
        case "refusal":
            return _text(a_text(part.get("refusal")))
        case "image_url":
            image = part.get("image_url")
            url = image if isinstance(image, str) else a_text(an_object(image).get("url"))
            return [{"type": "image", "source": _image_source(url, provider)}]
    raise _untranslatable("Claude takes only text and images here.", provider)


def _image_source(url: str, provider: str) -> JsonObject:
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    data = DATA_URL.fullmatch(url)
    if data is None:
        raise _untranslatable("Claude takes images as JPEG, PNG, GIF or WebP, by URL or in base64.", provider)
    return {"type": "base64", "media_type": data[1].lower(), "data": data[2]}


def _untranslatable(text: str, provider: str) -> ProviderError:
    return ProviderError(text, provider=provider, provider_status=400, did_no_work=True)
