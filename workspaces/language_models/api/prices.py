"""REST for the prices of a workspace's models."""

from dataclasses import asdict
from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import WorkspaceView
from accounts.policy import Action
from accounts.serializers import page_of
from accounts.teams.api.tenant import PAGING
from kit.api import Pages
from kit.inputs import read_body, serializer_of
from quotas.workspace_prices import prices_of, set_price
from workspaces.language_models.inputs import PriceInput
from workspaces.language_models.queries import known_models, pick_model
from workspaces.language_models.serializers import PriceSerializer


class LatestFirst(Pages):
    ordering = ("-effective_from", "-id")


class ModelPricesView(WorkspaceView):
    policy: ClassVar = {"GET": Action.MODELS_VIEW, "POST": Action.BUDGETS_TEAM}

    @extend_schema(
        operation_id="model_prices", tags=["usage"], parameters=PAGING, responses=page_of(PriceSerializer)
    )
    def get(self, request: Request, workspace: str, model: str) -> Response:
        """Lists the workspace's own prices for the model, the latest first."""
        slug = pick_model(known_models(self.principal), model).slug
        pages = LatestFirst()
        page = pages.paginate_queryset(prices_of(self.principal, slug), request, self)
        return pages.get_paginated_response(PriceSerializer(page, many=True).data)

    @extend_schema(
        operation_id="set_model_price",
        tags=["usage"],
        request=serializer_of(PriceInput),
        responses={201: PriceSerializer},
    )
    def post(self, request: Request, workspace: str, model: str) -> Response:
        """Sets a price, in millionths of the currency per million tokens, from now on or later."""
        price = read_body(PriceInput, request.data)
        slug = pick_model(known_models(self.principal), model).slug
        row = set_price(principal=self.principal, model=slug, **asdict(price))
        return Response(PriceSerializer(row).data, status=201)
