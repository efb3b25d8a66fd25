"""Serializers of models, credentials, prices and the catalogue for REST responses."""

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from kit.inputs import serializer_of
from workspaces.language_models.inputs import AccessInput, Parameters
from workspaces.language_models.models import LanguageModel, ProviderCredential


class RatesSerializer(serializers.Serializer[Any]):
    """Millionths of the currency per million tokens."""

    input = serializers.IntegerField()
    cached_input = serializers.IntegerField()
    output = serializers.IntegerField()
    reasoning = serializers.IntegerField()


class ModelSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=LanguageModel.Kind.choices)
    provider = serializers.CharField()
    upstream_name = serializers.CharField(
        allow_null=True, help_text="The model's ID at its provider; null for those who may not change it"
    )
    credential_id = serializers.UUIDField(
        allow_null=True, help_text="null for a built-in model, and for those who may not change it"
    )
    context_window = serializers.IntegerField()
    output_bound = serializers.IntegerField(help_text="0 unless it is a chat model")
    abilities = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField()
    price = RatesSerializer(allow_null=True, help_text="The current price; null: no price is known")
    fallback = serializers.CharField(help_text="The model used if this one's provider fails")
    parameters = serializer_of(Parameters)()
    access = serializer_of(AccessInput)(
        allow_null=True, help_text="Who may use it; only shown to those who may change it"
    )
    created_at = serializers.DateTimeField()


class ModelsSerializer(serializers.Serializer[Any]):
    data = ModelSerializer(many=True)  # type: ignore[assignment]  # a field called data


class ProviderCredentialSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.CharField()
    base_url = serializers.CharField()
    has_key = serializers.SerializerMethodField()
    models = serializers.IntegerField(
        source="models_count", default=0, help_text="Number of models that use it"
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_has_key(self, row: ProviderCredential) -> bool:
        """Whether a key is stored; the key itself is never returned."""
        return bool(row.sealed_key)


class ProviderCredentialsSerializer(serializers.Serializer[Any]):
    data = ProviderCredentialSerializer(many=True)  # type: ignore[assignment]


class PriceSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    input = serializers.IntegerField()
    cached_input = serializers.IntegerField(allow_null=True, help_text="null: same as input")
    output = serializers.IntegerField()
    reasoning = serializers.IntegerField(allow_null=True, help_text="null: same as output")
    effective_from = serializers.DateTimeField()
    is_in_force = serializers.SerializerMethodField()

    def get_is_in_force(self, price: Any) -> bool:
        """Whether it has begun; the latest of those that have applies."""
        return bool(price.effective_from <= timezone.now())


class CatalogueModelSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    upstream_name = serializers.CharField()
    kind = serializers.ChoiceField(choices=LanguageModel.Kind.choices)
    context_window = serializers.IntegerField()
    output_bound = serializers.IntegerField()
    abilities = serializers.ListField(child=serializers.CharField())
    prices = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Millionths of the catalogue's currency per million tokens",
    )


class CatalogueProviderSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.CharField()
    base_url = serializers.CharField()
    asks_for_key = serializers.BooleanField()
    is_self_hosted = serializers.BooleanField()
    about = serializers.CharField()
    docs = serializers.CharField()
    models = CatalogueModelSerializer(many=True)


class CatalogueSerializer(serializers.Serializer[Any]):
    dated = serializers.CharField(help_text="The date of its latest sources")
    currency = serializers.CharField()
    sources = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))
    data = CatalogueProviderSerializer(many=True, source="providers")  # type: ignore[assignment]
