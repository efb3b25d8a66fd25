"""The parts of an input item's content, as chat completions have them."""

import base64
import binascii
import re
from typing import Any

from gateway.providers.base import JsonObject
from kit.errors import InvalidInput

TEXT_FILE = re.compile(
    r"data:(?:text/[\w.+-]+|application/(?:json|xml|yaml|x-yaml|toml|javascript))(?:;[^,]*)?,", re.I
)
TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
NO_FILE = "Files are not stored here, nor fetched. Send file_data: a data URL in base64."
NO_IMAGE_ID = "Files are not stored here. Send image_url: a data URL or a web address."
NOT_KNOWN = (
    "Parts of this type are not supported here. Known: input_text, input_image, input_file, input_audio."
)


def parts_of(content: Any, path: str) -> str | list[JsonObject]:
    """A message's content: text if it has nothing else. InvalidInput names the part."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidInput(**{path: ["Send text or a list of parts."]})
    parts = [_part(part, f"{path}[{at}]") for at, part in enumerate(content)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _part(part: Any, path: str) -> JsonObject:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in TEXTS:
        return {"type": "text", "text": text_field(part, "text", path)}
    match kind:
        case "refusal":
            return {"type": "text", "text": text_field(part, "refusal", path)}
        case "input_image":
            return _image(part, path)
        case "input_file":
            return _file(part, path)
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.get("input_audio")}
    raise InvalidInput(**{f"{path}.type": [NOT_KNOWN]})


def _image(part: JsonObject, path: str) -> JsonObject:
    if part.get("file_id"):
        raise InvalidInput(**{f"{path}.file_id": [NO_IMAGE_ID]})
    url = part.get("image_url")
    if isinstance(url, dict):  # as chat completions have it
        url = url.get("url")
    if not isinstance(url, str):
        raise InvalidInput(**{f"{path}.image_url": ["Send a data URL or a web address."]})
    detail = part.get("detail")
    fields = {"detail": detail} if isinstance(detail, str) and detail != "auto" else {}
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def _file(part: JsonObject, path: str) -> JsonObject:
    """A text file becomes its text, which every model reads; another, such as a PDF, is for the provider."""
    data, name = part.get("file_data"), part.get("filename")
    if not isinstance(data, str) or not data.startswith("data:"):
        field = next((field for field in ("file_id", "file_url") if part.get(field)), "file_data")
        raise InvalidInput(**{f"{path}.{field}": [NO_FILE]})
    named = {"filename": name} if isinstance(name, str) and name else {}
    if not (head := TEXT_FILE.match(data)):
        return {"type": "file", "file": {**named, "file_data": data}}
    try:
        text = base64.b64decode(data[head.end() :], validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput(**{f"{path}.file_data": [NO_FILE]}) from exc
    return {"type": "text", "text": f"{name}:\n\n{text}" if named else text}


def text_field(item: JsonObject, name: str, path: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise InvalidInput(**{f"{path}.{name}": ["Send text."]})
    return value


def plain_text(content: Any) -> str:
    """The texts of an item's content, for people; an image or file is named."""
    if isinstance(content, str):
        return content
    shown = [_shown(part) for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return "\n\n".join(text for text in shown if text)


def _shown(part: JsonObject) -> str:
    match part.get("type"):
        case "input_image":
            return "[Image]"
        case "input_file":
            return f"[File: {part.get('filename') or 'unnamed'}]"
    text = part.get("text") or part.get("refusal")
    return text if isinstance(text, str) else ""
