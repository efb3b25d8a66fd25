"""Translates one Anthropic content block into parts of OpenAI's messages.

Protocol: https://docs.anthropic.com/en/api/messages. Images and documents come inline, or images by URL;
content stored elsewhere has an unknown size, so it is refused by name.
"""

import json
from typing import Any

from gateway.api.messages.inputs import a_string, an_object, objects_of, wrong
from gateway.providers.base import JsonObject

Part = JsonObject
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
PDF = "application/pdf"
INLINE = "Send its content inline; files and addresses are not fetched."
RESULT_PARTS = ("text", "image", "document", "search_result", "tool_reference", "browser_state")
INPUT_PARTS = ("text", "image", "document", "search_result")


def parts_of(content: Any, path: str, known: tuple[str, ...] = INPUT_PARTS) -> list[Part]:
    """The parts of a text or a list of blocks. InvalidInput with the path of what cannot be passed on."""
    if isinstance(content, str):
        return [text_part(content)]
    if not isinstance(content, list):
        wrong(path, "Send a text or a list of blocks.")
    return [part for at, block in objects_of(content, path) for part in block_parts(block, at, known)]


def block_parts(block: JsonObject, path: str, known: tuple[str, ...] = INPUT_PARTS) -> list[Part]:
    kind = block.get("type")
    if kind not in known:
        wrong(f"{path}.type", f"Blocks of this type are not supported here. Known: {', '.join(known)}.")
    match kind:
        case "text":
            return [text_part(a_string(block.get("text"), f"{path}.text"))]
        case "image":
            return [_image(an_object(block.get("source"), f"{path}.source"), f"{path}.source")]
        case "document":
            return _document(block, path)
        case "search_result":
            return [_search_result(block, path)]
        case "tool_reference":
            return [text_part(f"Tool: {a_string(block.get('tool_name'), f'{path}.tool_name')}")]
    return [text_part(json.dumps(block, ensure_ascii=False))]


def text_part(text: str) -> Part:
    return {"type": "text", "text": text}


def texts_of(parts: list[Part]) -> list[str]:
    return [part["text"] for part in parts if part["type"] == "text" and part["text"]]


def _image(source: JsonObject, path: str) -> Part:
    match source.get("type"):
        case "url":
            url = a_string(source.get("url"), f"{path}.url")
        case "base64":
            kind = source.get("media_type")
            if kind not in IMAGES:
                wrong(f"{path}.media_type", f"Send one of {', '.join(IMAGES)}.")
            url = f"data:{kind};base64,{a_string(source.get('data'), f'{path}.data')}"
        case _:
            wrong(f"{path}.type", f"Send base64 or url. {INLINE}")
    return {"type": "image_url", "image_url": {"url": url}}


def _document(block: JsonObject, path: str) -> list[Part]:
    source, at = an_object(block.get("source"), f"{path}.source"), f"{path}.source"
    title = block.get("title")
    name = title if isinstance(title, str) and title else "document"
    match source.get("type"):
        case "text":
            return [_titled(name, block, a_string(source.get("data"), f"{at}.data"))]
        case "content":
            parts = parts_of(source.get("content"), f"{at}.content", ("text", "image"))
            images = [part for part in parts if part["type"] != "text"]
            return [_titled(name, block, "\n\n".join(texts_of(parts))), *images]
        case "base64":
            if source.get("media_type") != PDF:
                wrong(f"{at}.media_type", f"Send {PDF}.")
            data = f"data:{PDF};base64,{a_string(source.get('data'), f'{at}.data')}"
            filename = name if name.lower().endswith(".pdf") else f"{name}.pdf"
            return [{"type": "file", "file": {"filename": filename, "file_data": data}}]
    wrong(f"{at}.type", f"Send base64, text or content. {INLINE}")


def _titled(title: str, block: JsonObject, text: str) -> Part:
    context = block.get("context")
    about = f"\n{context}" if isinstance(context, str) and context else ""
    return text_part(f"[{title}]{about}\n\n{text}")


def _search_result(block: JsonObject, path: str) -> Part:
    title, source = (a_string(block.get(name), f"{path}.{name}") for name in ("title", "source"))
    parts = parts_of(block.get("content"), f"{path}.content", ("text",))
    return text_part(f"[{title}]\n{source}\n\n" + "\n\n".join(texts_of(parts)))
