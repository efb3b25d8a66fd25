"""Validates a request's body by a serializer: the one place for REST views, consumers and sockets."""

from collections.abc import Collection, Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from kit.api import field_errors
from kit.errors import InvalidInput

MOST_UNKNOWN = 20  # unknown keys of an object that an error names
MOST_ITEMS = 100  # of a list without a bound of its own that are searched for unknown keys


def validated(
    serializer_class: type[serializers.Serializer[Any]],
    body: Any,
    *,
    partial: bool = False,
    ignores_unknown: bool = False,
) -> Any:
    """What the serializer makes of a body. InvalidInput names every wrong field, and every unknown one."""
    serializer = serializer_class(data=body, partial=partial)
    unknown = {} if ignores_unknown else unknown_keys(serializer, body)
    try:
        serializer.is_valid(raise_exception=True)
    except ValidationError as exc:
        raise InvalidInput(**_merged(field_errors(exc.detail), unknown)) from exc
    if unknown:
        raise InvalidInput(**unknown)
    return serializer.validated_data


def unknown_keys(serializer: Any, body: Any) -> dict[str, Any]:
    """The keys of a body that the serializer does not know, at any depth, each with what it does know."""
    if not isinstance(body, Mapping):
        return {}
    known = {name: field for name, field in serializer.fields.items() if not field.read_only}
    wrong = unknown_names(body, known)
    for name in known.keys() & body.keys():
        if problems := _unknown_within(known[name], body[name]):
            wrong[name] = problems
    return wrong


def unknown_names(body: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The keys of one object that are not known, each with the list of those that are."""
    problem = f"Unknown field. Known fields: {', '.join(known) or 'none'}."
    unknown = [str(name) for name in body if name not in known][:MOST_UNKNOWN]
    return {_echoed(name): [problem] for name in unknown}


def _unknown_within(field: Any, value: Any) -> dict[str, Any]:
    if isinstance(field, serializers.Serializer):
        return unknown_keys(field, value)
    if not isinstance(field, serializers.ListSerializer) or not isinstance(value, list):
        return {}
    items = enumerate(value[: getattr(field, "max_length", None) or MOST_ITEMS])
    return {str(at): problems for at, item in items if (problems := unknown_keys(field.child, item))}


def _merged(wrong: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
    """Both kinds of problems, also within an object that has both."""
    merged = {**wrong, **unknown}
    for name in wrong.keys() & unknown.keys():
        if isinstance(wrong[name], dict) and isinstance(unknown[name], dict):
            merged[name] = _merged(wrong[name], unknown[name])
    return merged


def _echoed(name: str) -> str:
    """A client's key as it may be sent back: short, and without halves of surrogate pairs."""
    return name[:60].encode(errors="replace").decode()
