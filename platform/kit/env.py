"""Reads environment variables; an invalid value stops the start."""

import json
import os
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    """The variable without surrounding whitespace; empty counts as unset."""
    return os.environ.get(name, "").strip() or default


def boolean(name: str, default: bool) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value in TRUE | FALSE:
        return value in TRUE
    raise ImproperlyConfigured(f"{name}={value!r} is neither true nor false; use 1 or 0.")


def integer(name: str, default: int, *, at_least: int = 0) -> int:
    value = text(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name}={value!r} is not a whole number.") from exc
    if number < at_least:
        raise ImproperlyConfigured(f"{name}={number} is below {at_least}.")
    return number


def listing(name: str, default: list[str]) -> list[str]:
    """A comma-separated variable as a list without empty items."""
    value = text(name)
    return [item.strip() for item in value.split(",") if item.strip()] if value else default


def choice(name: str, default: str, among: tuple[str, ...]) -> str:
    value = text(name).lower()
    if not value:
        return default
    if value not in among:
        raise ImproperlyConfigured(f"{name}={value!r} is none of {', '.join(among)}.")
    return value


def objects(name: str) -> list[dict[str, Any]]:
    """A JSON list of objects; empty when unset. Errors never repeat the value: it contains secrets."""
    try:
        found = json.loads(text(name, "[]"))
    except (ValueError, RecursionError) as exc:
        raise ImproperlyConfigured(f"{name} is not valid JSON.") from exc
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ImproperlyConfigured(f"{name} must be a JSON list of objects.")
    return found


def database(url: str) -> dict[str, Any]:
    """Turns `postgresql://user:password@host:port/name` into Django's connection settings.

    The host may be in the query (`?host=/socket/folder`), as libpq allows; all other query parameters, such
    as `sslmode`, are passed to libpq unchanged.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL must begin with postgresql://")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    name = parts.path.lstrip("/")
    if not name:
        raise ImproperlyConfigured("DATABASE_URL names no database.")
    return {
        "NAME": unquote(name),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or query.pop("host", "")),
        "PORT": str(parts.port or query.pop("port", "")),
        "OPTIONS": query,
    }
