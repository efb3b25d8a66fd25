"""Reads what a provider sent without trusting its shape."""

import json
from typing import Any, TypeGuard

from gateway.errors import ProviderError
from gateway.providers.base import JsonObject

NO_COUNT = -1


def objects(value: Any) -> list[JsonObject]:
    """The objects of a list; none when it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def an_object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def a_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def a_count(value: Any) -> int:
    return value if is_count(value) else 0


def told_count(value: Any) -> int | None:
    """A count of tokens as a provider sent it: None where it sent none, NO_COUNT for what cannot be one."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():  # JavaScript has no other numbers
        value = int(value)
    return value if is_count(value) else NO_COUNT


def parsed(data: str, *, provider: str) -> JsonObject:
    """The JSON object that `data` holds; ProviderError when it holds none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise garbled(provider) from exc
    if not isinstance(value, dict):
        raise garbled(provider)
    return value


def garbled(provider: str) -> ProviderError:
    return ProviderError("The provider returned an invalid response.", provider=provider, provider_status=200)
