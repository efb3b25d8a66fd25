"""Prevents LibreChat from replacing its own placeholders, such as `{{current_user}}`, in texts that we send.

LibreChat replaces them in `promptPrefix`, which arrives at the egress as the system message. A separator
between the braces hides every placeholder; the egress removes the separators again.
"""

import re
from collections.abc import Sequence
from typing import Any

from gateway.providers.base import JsonObject

SEPARATOR = "\ue0f1"  # a private-use character; one in the text itself is doubled
BRACES = re.compile(r"\{(?=\{)")
SEPARATORS = re.compile(f"{SEPARATOR}{SEPARATOR}?")
SYSTEM = {"system", "developer"}


def hide_placeholders(text: str) -> str:
    """The text without two consecutive braces; `show_placeholders` restores it."""
    return BRACES.sub("{" + SEPARATOR, text.replace(SEPARATOR, SEPARATOR * 2))


def show_placeholders(text: str) -> str:
    return SEPARATORS.sub(lambda found: SEPARATOR if len(found[0]) > 1 else "", text)


def with_placeholders(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """An engine's messages with the original placeholders in their instructions."""
    return [_shown(message) if message.get("role") in SYSTEM else message for message in messages]


def _shown(message: JsonObject) -> JsonObject:
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": show_placeholders(content)}
    if isinstance(content, list):
        return {**message, "content": [_shown_part(part) for part in content]}
    return message


def _shown_part(part: Any) -> Any:
    is_text = isinstance(part, dict) and isinstance(part.get("text"), str)
    return {**part, "text": show_placeholders(part["text"])} if is_text else part
