"""REST for what a workspace's models cost."""

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import WorkspaceView
from accounts.policy import Action
from accounts.serializers import page_of
from accounts.sign_in.api import checked
from accounts.teams.api.tenant import PAGING
from kit.api import Pages
from quotas.models.prices import MOST_PRICE
from quotas.workspace_prices import prices_of, set_price
from workspaces.language_models.queries import known_models, pick_model


class PriceWishSerializer(serializers.Serializer[Any]):
    input = serializers.IntegerField(min_value=0, max_value=MOST_PRICE)
    output = serializers.IntegerField(min_value=0, max_value=MOST_PRICE)
    cached_input = serializers.IntegerField(
        min_value=0, max_value=MOST_PRICE, required=False, allow_null=True, default=None
    )
    reasoning = serializers.IntegerField(
        min_value=0, max_value=MOST_PRICE, required=False, allow_null=True, default=None
    )
    effective_from = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="Default: now"
    )


class PriceSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    input = serializers.IntegerField()
    cached_input = serializers.IntegerField(allow_null=True, help_text="null: same as input")
    output = serializers.IntegerField()
    reasoning = serializers.IntegerField(allow_null=True, help_text="null: same as output")
    effective_from = serializers.DateTimeField()
    is_in_force = serializers.SerializerMethodField()

    def get_is_in_force(self, price: Any) -> bool:
        """Whether it has begun; of several that have the latest counts."""
        return bool(price.effective_from <= timezone.now())


class LatestFirst(Pages):
    ordering = ("-effective_from", "-id")


class ModelPricesView(WorkspaceView):
    policy: ClassVar = {"GET": Action.MODELS_VIEW, "POST": Action.BUDGETS_TEAM}

    @extend_schema(
        operation_id="model_prices", tags=["usage"], parameters=PAGING, responses=page_of(PriceSerializer)
    )
    def get(self, request: Request, workspace: str, model: str) -> Response:
        """Lists the workspace's own prices for the model, the latest first."""
        slug = pick_model(known_models(self.place), model).slug
        pages = LatestFirst()
        shown = pages.paginate_queryset(prices_of(self.place, slug), request, self)
        return pages.get_paginated_response(PriceSerializer(shown, many=True).data)

    @extend_schema(
        operation_id="set_model_price",
        tags=["usage"],
        request=PriceWishSerializer,
        responses={201: PriceSerializer},
    )
    def post(self, request: Request, workspace: str, model: str) -> Response:
        """Sets a price, in millionths of the currency per million tokens, from now on or later."""
        wish = checked(PriceWishSerializer, request)
        slug = pick_model(known_models(self.place), model).slug
        return Response(PriceSerializer(set_price(place=self.place, model=slug, **wish)).data, status=201)
