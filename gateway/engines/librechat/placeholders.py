"""Keeps LibreChat from filling in its own placeholders, such as `{{current_user}}`, in texts that we send it.

LibreChat replaces them in `promptPrefix`, which arrives at the egress as the system message. A mark between
the braces hides every placeholder on the way in; the egress takes the marks out again.
"""

import re
from collections.abc import Sequence
from typing import Any

from gateway.providers.base import JsonObject

MARK = "\ue0f1"  # a private-use character; one in the text itself is doubled
BRACES = re.compile(r"\{(?=\{)")
MARKS = re.compile(f"{MARK}{MARK}?")
SYSTEM = {"system", "developer"}


def hide_placeholders(text: str) -> str:
    """The text without two braces in a row, to be restored by `show_placeholders`."""
    return BRACES.sub("{" + MARK, text.replace(MARK, MARK * 2))


def show_placeholders(text: str) -> str:
    return MARKS.sub(lambda found: MARK if len(found[0]) > 1 else "", text)


def with_placeholders(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """An engine's messages with the placeholders of their instructions as they were written."""
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
