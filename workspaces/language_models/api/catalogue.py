"""REST for the catalogue: what there is, and installing some of it."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView
from accounts.policy import Action
from accounts.sign_in.api import checked
from workspaces.language_models import catalogue, catalogue_install
from workspaces.language_models.api.models import told_models
from workspaces.language_models.api.probe import ProbingView, TestField
from workspaces.language_models.queries import ref_of
from workspaces.language_models.serializers import KeyField, ModelsSerializer


class CatalogueInstallSerializer(serializers.Serializer[Any]):
    provider = serializers.CharField(max_length=60, help_text="A provider's slug in the catalogue")
    models = serializers.ListField(
        child=serializers.CharField(max_length=60),
        min_length=1,
        max_length=50,
        help_text="Slugs of its models in the catalogue",
    )
    key = KeyField(required=False, default="")
    credential_id = serializers.UUIDField(
        required=False, allow_null=True, default=None, help_text="A saved credential, instead of a key"
    )
    base_url = serializers.CharField(
        max_length=500,
        required=False,
        default="",
        allow_blank=True,
        help_text="Only for self-hosted providers",
    )
    enabled = serializers.BooleanField(required=False, default=False)
    test = TestField()


class CatalogueInstallView(ProbingView):
    policy: ClassVar = {"POST": Action.MODELS_CHANGE}

    @extend_schema(
        operation_id="install_from_catalogue",
        tags=["models"],
        request=CatalogueInstallSerializer,
        responses={201: ModelsSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Installs models of a catalogue provider with a key, once the first of them has answered."""
        wish = checked(CatalogueInstallSerializer, request)
        is_tested, provider = wish.pop("test"), catalogue.find_provider(wish.pop("provider"))
        chosen = provider.chosen(wish.pop("models"))
        rows = self.save(
            lambda: catalogue_install.install_from_catalogue(
                principal=self.place, provider=provider, models=chosen, **wish
            ),
            ref=lambda rows: ref_of(rows[0]),
            is_tested=is_tested,
        )
        slugs = {row.slug for row in rows}
        told = [row for row in told_models(self.place) if row["slug"] in slugs]
        return Response(ModelsSerializer({"data": told}).data, status=201)


class CatalogueModelSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    upstream_name = serializers.CharField()
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
    dated = serializers.CharField(help_text="The day of its latest sources")
    currency = serializers.CharField()
    sources = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))
    data = CatalogueProviderSerializer(many=True, source="providers")  # type: ignore[assignment]


class CatalogueView(PolicyView):
    policy: ClassVar = {"GET": Action.MODELS_VIEW}

    @extend_schema(operation_id="model_catalogue", tags=["models"], responses=CatalogueSerializer)
    def get(self, request: Request) -> Response:
        """Lists the catalogue: providers and the models that can be installed with a key."""
        return Response(CatalogueSerializer(catalogue.read_catalogue()).data)
