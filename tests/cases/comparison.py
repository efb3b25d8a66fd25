"""Compares observed values with expected ones, which may be patterns, and shortens them for messages."""

import json
import re
from collections.abc import Callable
from typing import Any


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def short(value: Any, most: int = 150) -> str:
    text = value if isinstance(value, str) else compact(value)
    return text if len(text) <= most else f"{text[:most]}…({len(text)})"


def text_or_json(value: Any) -> str:
    return value if isinstance(value, str) else compact(value)


def fits(expected: Any, observed: Any) -> bool:
    """`expected` is a value of the same type, or a pattern such as {"min": 1, "max": 3} or {"any": […]}."""
    if isinstance(expected, dict) and expected and set(expected) <= set(PATTERNS):
        return all(PATTERNS[name](value, observed) for name, value in expected.items())
    if _is_number(expected) and _is_number(observed):
        return bool(expected == observed)
    return type(expected) is type(observed) and bool(expected == observed)


def fits_one(expected: Any, observed: Any) -> bool:
    """`expected` may be a list: any of its values fits."""
    return any(fits(one, observed) for one in (expected if isinstance(expected, list) else [expected]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def at_path(value: Any, path: str) -> Any:
    """`messages.0.content` in nested lists and objects; None if there is nothing."""
    for step in path.split("."):
        if isinstance(value, list) and re.fullmatch(r"-?\d+", step):
            at = int(step)
            value = value[at] if -len(value) <= at < len(value) else None
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


PATTERNS: dict[str, Callable[[Any, Any], bool]] = {
    "exists": lambda expected, observed: (observed is not None) is expected,
    "any": lambda expected, observed: any(fits(one, observed) for one in expected),
    "not": lambda expected, observed: not fits(expected, observed),
    "min": lambda expected, observed: _is_number(observed) and bool(observed >= expected),
    "max": lambda expected, observed: _is_number(observed) and bool(observed <= expected),
    "length": lambda expected, observed: observed is not None and len(observed) == expected,
    "contains": lambda expected, observed: expected in text_or_json(observed),
    "matches": lambda expected, observed: re.search(expected, text_or_json(observed)) is not None,
}
