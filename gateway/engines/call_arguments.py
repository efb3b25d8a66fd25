"""A tool call's arguments as data that can be stored and shown, however odd the model's JSON is."""

import json
import math
from typing import Any

from gateway.providers.soundness import sound


def arguments_of(text: str) -> Any:
    """A call's arguments as data that can be stored; text that is not JSON stays text."""
    try:
        return _storable(json.loads(text)) if text.strip() else {}
    except (ValueError, RecursionError):
        return sound(text)


def storable(value: Any) -> Any:
    """The value as a database can store it; {} if it is nested too deeply."""
    try:
        return _storable(value)
    except RecursionError:
        return {}


def _storable(value: Any) -> Any:
    """Without NaN, infinities and the characters that JSON's escapes can hide from `sound`."""
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {sound(name): _storable(item) for name, item in value.items()}
    return value
