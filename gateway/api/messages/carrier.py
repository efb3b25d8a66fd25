"""Carries data that other providers need again, such as Gemini's signatures, through Anthropic's clients.

Those clients send thinking blocks back unchanged, so a block's `signature` or `data` can hold it. The
provider shows its client the same data, so it is encoded, not encrypted.
"""

import base64
import json

from gateway.providers.base import JsonObject
from kit.json_input import is_shallow

PREFIX = "switchyard."


def packed(content: JsonObject) -> str:
    text = json.dumps(content, separators=(",", ":")).encode()
    return PREFIX + base64.urlsafe_b64encode(text).decode()


def unpacked(text: str) -> JsonObject | None:
    """None if the text is not ours, which means that it is Anthropic's own; empty if it is damaged."""
    if not text.startswith(PREFIX):
        return None
    try:
        value = json.loads(base64.urlsafe_b64decode(text.removeprefix(PREFIX)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and is_shallow(value) else {}
