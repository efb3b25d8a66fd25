"""Reads a provider's JSON without trusting its structure."""

import json
from typing import Any, TypeGuard

from gateway.errors import ProviderError
from gateway.providers.base import JsonObject

NO_COUNT = -1
LONGEST_COUNT = 16  # digits


def objects(value: Any) -> list[JsonObject]:
    """The objects in a list; empty if it is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def an_object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def a_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def a_count(value: Any) -> int:
    return value if is_count(value) else 0


def reported_count(value: Any) -> int | None:
    """A provider's token count: None if it sent none, NO_COUNT if the value cannot be a count."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():  # JavaScript has no other numbers
        value = int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < LONGEST_COUNT:
        value = int(value)
    return value if is_count(value) else NO_COUNT


def parsed(data: str) -> list[JsonObject] | None:
    """The JSON object in `data`, or several in a list; None if there is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return objects([value] if isinstance(value, dict) else value) or None


def garbled(provider: str) -> ProviderError:
    return ProviderError("The provider returned an invalid response.", provider=provider, provider_status=200)
