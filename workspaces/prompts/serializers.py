"""Serializers of prompts for REST responses."""

from typing import Any

from rest_framework import serializers

from kit.inputs import serializer_of
from workspaces.prompts.render import Variable

VariableSerializer = serializer_of(Variable)


class PromptSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    slug = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    visibility = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    version = serializers.IntegerField(source="number")
    text = serializers.CharField()
    variables = VariableSerializer(many=True)
    favourite = serializers.BooleanField(source="is_favourite")
    user_id = serializers.UUIDField(help_text="The author")
    workspace_id = serializers.UUIDField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class VersionSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    note = serializers.CharField()
    user_id = serializers.UUIDField()
    text = serializers.CharField()
    variables = VariableSerializer(many=True)
    created_at = serializers.DateTimeField()


class DiffSerializer(serializers.Serializer[Any]):
    data = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]


class RenderedSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(source="number")
    text = serializers.CharField()
