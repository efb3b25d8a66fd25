"""The shapes of models in REST."""

from typing import Any

from rest_framework import serializers

from accounts.models import WorkspaceMember
from accounts.serializers import NameField
from workspaces.language_models import services
from workspaces.language_models.api.probe import TestField
from workspaces.language_models.model_access import Group
from workspaces.language_models.models import LanguageModel

MOST_TOKENS = 2**31 - 1


class KeyField(serializers.CharField):
    """A provider's key: written, never read."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=10_000, allow_blank=True, write_only=True, **kwargs)


class RatesSerializer(serializers.Serializer[Any]):
    """Millionths of the currency for a million tokens."""

    input = serializers.IntegerField()
    cached_input = serializers.IntegerField()
    output = serializers.IntegerField()
    reasoning = serializers.IntegerField()


class SomeMembersSerializer(serializers.Serializer[Any]):
    roles = serializers.ListField(
        child=serializers.ChoiceField(WorkspaceMember.Role.choices),
        required=False,
        default=list,
        max_length=3,
    )
    members = serializers.ListField(
        child=serializers.UUIDField(), required=False, default=list, max_length=500
    )


class AccessSerializer(serializers.Serializer[Any]):
    """Nobody named in `allow` means everybody; `deny` wins.

    In a change the one that is not named stays as it is, and the one that is named is replaced as a whole:
    `"allow": {}` opens the model to everybody.
    """

    allow = SomeMembersSerializer(required=False)
    deny = SomeMembersSerializer(required=False)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        return {side: Group.from_data(named) for side, named in data.items()}


class ParametersSerializer(serializers.Serializer[Any]):
    """What the model is asked with where a request names nothing; null: the provider's default."""

    temperature = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=2)
    top_p = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=1)
    reasoning_effort = serializers.ChoiceField(services.EFFORTS, required=False, allow_null=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in data.items() if value is not None}


class ModelSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    provider = serializers.CharField()
    context_window = serializers.IntegerField()
    output_bound = serializers.IntegerField()
    abilities = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField()
    price = RatesSerializer(allow_null=True, help_text="The current price; null: no price is known")
    fallback = serializers.CharField(help_text="The model used if this one's provider fails")
    parameters = ParametersSerializer()
    access = AccessSerializer(
        allow_null=True, help_text="Who may use it; only shown to those who may change it"
    )
    created_at = serializers.DateTimeField()


class ModelsSerializer(serializers.Serializer[Any]):
    data = ModelSerializer(many=True)  # type: ignore[assignment]  # a field called data


class ModelChangeSerializer(serializers.Serializer[Any]):
    name = NameField(required=False)
    enabled = serializers.BooleanField(required=False)
    context_window = serializers.IntegerField(required=False, min_value=2, max_value=MOST_TOKENS)
    output_bound = serializers.IntegerField(required=False, min_value=1, max_value=MOST_TOKENS)
    abilities = serializers.ListField(
        child=serializers.ChoiceField(LanguageModel.Ability.choices), required=False, max_length=10
    )
    fallback = serializers.CharField(required=False, max_length=60, allow_blank=True, help_text="'': none")
    parameters = ParametersSerializer(required=False)
    access = AccessSerializer(required=False)


class ModelWishSerializer(serializers.Serializer[Any]):
    credential_id = serializers.UUIDField()
    slug = serializers.CharField(max_length=60)
    upstream_name = serializers.CharField(max_length=100, help_text="The model's ID at the provider")
    name = NameField(required=False, default="")
    context_window = serializers.IntegerField(min_value=2, max_value=MOST_TOKENS)
    output_bound = serializers.IntegerField(min_value=1, max_value=MOST_TOKENS)
    abilities = serializers.ListField(
        child=serializers.ChoiceField(LanguageModel.Ability.choices),
        required=False,
        default=list,
        max_length=10,
    )
    parameters = ParametersSerializer(required=False, default=dict)
    enabled = serializers.BooleanField(required=False, default=False)
    test = TestField()


class BulkSerializer(serializers.Serializer[Any]):
    models = serializers.ListField(child=serializers.CharField(max_length=60), min_length=1, max_length=200)
    enabled = serializers.BooleanField()
