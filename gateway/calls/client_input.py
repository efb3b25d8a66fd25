"""Checks what a client may pass through to a provider: parts and tools of bounded cost, and small parameters.

A part by reference, such as a file, a video or a recording, has few bytes in the request but costs many
tokens at the provider; so does a tool that the provider runs itself. They are refused by name.
"""

import re
from collections.abc import Iterator
from typing import Any

from gateway.providers.base import JsonObject, count_images
from gateway.providers.openai_chunks import MOST_BYTES
from gateway.providers.sizes import encoded
from kit.errors import InvalidInput

PARTS = ("text", "image_url", "refusal", "input_audio", "file")
PART_FIELDS = {"type", "cache_control", *PARTS}
INNER_FIELDS = {
    "image_url": {"url", "detail"},
    "input_audio": {"data", "format"},
    "file": {"filename", "file_data"},
}
TOOLS = ("function", "custom")
FIELDS = {
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "thinking_blocks",
    "images",
    "is_error",
    "extra_content",
    "cache_control",
    "prefix",
}
MOST_IMAGES = 100  # of one request
LONGEST_URL = 8192
IMAGE = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,", re.IGNORECASE)
LARGEST_TOOLS = 512 * 1024  # bytes of all definitions
NO_IMAGE = (
    "Send a PNG, JPEG, GIF or WebP image as a data URL in base64, "
    f"or a web address of at most {LONGEST_URL:,} characters."
)
INLINE = re.compile(r"data:[a-z]+/[a-z0-9.+-]+;base64,", re.IGNORECASE)
NO_FILE = "Send the file itself as a data URL in base64."
NO_SOUND = "Send the sound itself in base64."
MOST_PROBLEMS = 20  # in one refusal
Problem = tuple[str, str]  # a field's path, and what is wrong with it


def check_messages(messages: list[JsonObject], *, own_images: str = "") -> None:
    """InvalidInput with the path of each field, part or image URL that is not passed through.

    URLs that begin with `own_images` are the gateway's own, which it replaces itself.
    """
    problems = [
        problem
        for at, message in enumerate(messages)
        for problem in _problems(f"messages[{at}]", message, own_images)
    ]
    images = count_images(messages)
    if images > MOST_IMAGES:
        problems.append(("messages", f"Too many images: {images}. Send at most {MOST_IMAGES}."))
    _raise(problems)


def check_tools(
    tools: list[JsonObject], *, most_bytes: int = LARGEST_TOOLS, others: tuple[str, ...] = ()
) -> None:
    """InvalidInput for tools that the provider would run itself, and for definitions that are too large.

    `others` are further allowed types, besides those that a client runs.
    """
    types = (*TOOLS, *others)
    known = ", ".join(types)
    problems = [
        (f"tools[{at}].type", f"Tools of this type are not supported here. Known: {known}.")
        for at, tool in enumerate(tools)
        if tool.get("type", "function") not in types
    ]
    _raise([*problems, *_too_large("tools", tools, most_bytes)])


def check_parameters(parameters: JsonObject) -> None:
    """InvalidInput for a parameter that is larger than its limit in MOST_BYTES."""
    _raise([p for name, value in parameters.items() for p in _too_large(name, value, MOST_BYTES[name])])


def _problems(path: str, message: JsonObject, own_images: str) -> Iterator[Problem]:
    for name, value in message.items():
        is_known = name in FIELDS or (name == "annotations" and _are_citations(value))
        if not is_known and value not in (None, "", [], {}):
            yield f"{path}.{name}", "This field is not supported. Remove it."
    content = message.get("content")
    if not isinstance(content, str | list | None):
        yield f"{path}.content", "Send text or a list of parts."
    for name in ("content", "images"):
        for at, part in enumerate(_listed(message.get(name))):
            yield from _part_problems(f"{path}.{name}[{at}]", part, own_images)


def _are_citations(annotations: Any) -> bool:
    """Other annotations may refer to a file."""
    kinds = [item.get("type") if isinstance(item, dict) else None for item in _listed(annotations)]
    return bool(kinds) and all(kind == "url_citation" for kind in kinds)


def _part_problems(path: str, part: Any, own_images: str) -> Iterator[Problem]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in PARTS:
        yield f"{path}.type", f"Parts of this type are not supported here. Known: {', '.join(PARTS)}."
        return
    others = {name for name in part if name not in PART_FIELDS or (name in PARTS and name != kind)}
    if kind in INNER_FIELDS and isinstance(part.get(kind), dict):
        others |= {f"{kind}.{name}" for name in part[kind].keys() - INNER_FIELDS[kind]}
    for name in sorted(others):
        yield f"{path}.{name}", "This field is not supported. Remove it."
    inner = part.get(kind)
    if kind == "image_url":
        url = inner.get("url") if isinstance(inner, dict) else inner
        if not _is_image_url(url, own_images):
            yield f"{path}.image_url.url", NO_IMAGE
    elif kind == "file" and not _is_inline(inner, "file_data"):
        yield f"{path}.file.file_data", NO_FILE
    elif kind == "input_audio" and not _is_base64(inner, "data"):
        yield f"{path}.input_audio.data", NO_SOUND


def _is_inline(inner: Any, field: str) -> bool:
    text = inner.get(field) if isinstance(inner, dict) else None
    return isinstance(text, str) and INLINE.match(text) is not None


def _is_base64(inner: Any, field: str) -> bool:
    """Whether it is base64 rather than a URL, which would be a reference to a recording."""
    text = inner.get(field) if isinstance(inner, dict) else None
    return isinstance(text, str) and ":" not in text[:LONGEST_URL]


def _is_image_url(url: Any, own_images: str) -> bool:
    if not isinstance(url, str):
        return False
    if IMAGE.match(url) or (own_images and url.startswith(own_images)):
        return True
    return url.startswith(("https://", "http://")) and len(url) <= LONGEST_URL


def _too_large(name: str, value: Any, most: int) -> Iterator[Problem]:
    size = len(encoded({name: value}))
    if size > most:
        yield name, f"Too large: {size:,} bytes of JSON. Send at most {most:,}."


def _listed(content: Any) -> list[Any]:
    return content if isinstance(content, list) else []


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise InvalidInput(**{path: [text] for path, text in problems[:MOST_PROBLEMS]})
