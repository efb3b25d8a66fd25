"""Serializers and pages that several REST modules share."""

from functools import cache
from typing import Any

from rest_framework import serializers

from kit.api import Pages


class PersonSerializer(serializers.Serializer[Any]):
    """A user as other members of the team see them."""

    id = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField(source="label")
    service_account = serializers.SerializerMethodField()

    def get_service_account(self, user: Any) -> bool:
        return user.service_of_id is not None


class OldestFirst(Pages):
    ordering = ("created_at", "id")


@cache
def page_of(serializer_class: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """The serializer of one page, for the documentation."""
    name = serializer_class.__name__.removesuffix("Serializer")
    fields = {
        "data": serializer_class(many=True),
        "has_more": serializers.BooleanField(),
        "next": serializers.CharField(allow_null=True),
    }
    return type(f"{name}PageSerializer", (serializers.Serializer,), fields)
