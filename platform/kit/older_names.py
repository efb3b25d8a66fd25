"""Renamed fields: requests may use the older name, and responses have both."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from kit.errors import InvalidInput


@extend_schema_field({"type": "string", "deprecated": True})
class OlderName(serializers.CharField):
    """`OlderName("tenant")` is a field that `tenant` has replaced; the schema marks it as deprecated."""

    def __init__(self, current: str, **options: Any) -> None:
        super().__init__(help_text=f"Older name of `{current}`", **options)


def by_either_name(sent: Mapping[str, Any], current: str, older: str) -> Any:
    """The value under either name; None for neither. InvalidInput if they have different values."""
    values = {sent[name] for name in (current, older) if sent.get(name) not in (None, "")}
    if len(values) > 1:
        raise InvalidInput(**{current: [f"Send only one of {current} and {older}: they differ."]})
    return values.pop() if values else None
