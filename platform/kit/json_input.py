"""Parses JSON request bodies, the same way for REST views, consumers and sockets."""

import json
import math
from typing import Any, NoReturn

from kit.errors import InvalidInput, InvalidJson

MAX_DEPTH = 64


def parse_object(body: bytes | str) -> dict[str, Any]:
    """The body as a dict. Raises InvalidJson if it is not JSON, InvalidInput if it is not an object."""
    try:
        text = body.decode() if isinstance(body, bytes) else body
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        raise InvalidJson from exc
    if not isinstance(value, dict):
        raise InvalidInput("The body must be a JSON object.", body=["Send a JSON object."])
    if not is_shallow(value):
        raise InvalidJson(f"The body is nested deeper than {MAX_DEPTH} levels.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large for a number")
    return number


def is_sound(value: Any) -> bool:
    """Whether all text in it is valid UTF-8: JSON can escape half of a surrogate pair."""
    if isinstance(value, str):
        return _is_utf8(value)
    if isinstance(value, dict):
        return all(is_sound(key) and is_sound(child) for key, child in value.items())
    return all(is_sound(child) for child in value) if isinstance(value, list) else True


def is_storable(value: Any) -> bool:
    """Whether PostgreSQL stores it as JSON: sound, without NUL, NaN or infinity. For shallow values."""
    if isinstance(value, str):
        return _is_utf8(value) and "\0" not in value
    if isinstance(value, dict):
        return all(is_storable(key) and is_storable(child) for key, child in value.items())
    if isinstance(value, list):
        return all(is_storable(child) for child in value)
    return not isinstance(value, float) or math.isfinite(value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_shallow(value: Any) -> bool:
    """Whether the nesting is at most MAX_DEPTH: deeper values would overflow the stack of recursive code."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return True
    return False


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
