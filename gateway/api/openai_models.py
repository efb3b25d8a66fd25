"""`GET /v1/models`: the usable models in OpenAI's format, or in Anthropic's for its clients."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView
from accounts.policy import Action
from gateway.api.messages import errors as anthropic_errors
from gateway.api.messages.models import model_info, models_page, speaks_anthropic
from gateway.api.openai_wire import error_body
from gateway.errors import ModelNotFound
from kit import request_origin
from kit.api import translate
from workspaces.language_models.queries import ModelRef, chat_models, usable_models


class OpenAIErrorMixin:
    """Errors in the format that OpenAI's clients expect, or Anthropic's."""

    def handle_exception(self, exc: Exception) -> Response:
        response: Response = super().handle_exception(exc)  # type: ignore[misc]
        error = translate(exc)
        if error is not None:
            request_id = request_origin.current().request_id
            if speaks_anthropic(self.request):  # type: ignore[attr-defined]
                response.status_code = anthropic_errors.wire_status(error)
                response.data = anthropic_errors.error_body(error, request_id)
            else:
                response.data = error_body(error, request_id)
        return response


class OpenAIModelSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="The model's name, to be sent as `model`")
    object = serializers.CharField(help_text="model")
    created = serializers.IntegerField(help_text="Seconds since 1970")
    owned_by = serializers.CharField(help_text="The kind of its provider")


class ModelListSerializer(serializers.Serializer[Any]):
    """All models, in one list."""

    object = serializers.CharField(help_text="list")
    data = OpenAIModelSerializer(many=True)  # type: ignore[assignment]  # a field called data


class OpenAIModelsView(OpenAIErrorMixin, PolicyView):
    policy: ClassVar = {"GET": Action.MODELS_VIEW}

    @extend_schema(operation_id="models", tags=["openai"], responses=ModelListSerializer)
    def get(self, request: Request) -> Response:
        """Lists the models that you may use in your workspace, in OpenAI's format.

        With the header `anthropic-version` only those that chat, in Anthropic's format: `{data, has_more,
        first_id, last_id}`, paged by `limit`, `after_id` and `before_id`.
        """
        if speaks_anthropic(request):
            return Response(models_page(chat_models(self.principal), request.query_params))
        models = usable_models(self.principal)
        return Response({"object": "list", "data": [openai_model(model) for model in models]})


class OpenAIModelView(OpenAIErrorMixin, PolicyView):
    policy: ClassVar = {"GET": Action.MODELS_VIEW}

    @extend_schema(operation_id="model", tags=["openai"], responses=OpenAIModelSerializer)
    def get(self, request: Request, model: str) -> Response:
        """Returns a model by its id, which may contain slashes and colons, also percent-encoded."""
        models = usable_models(self.principal)
        found = next((candidate for candidate in models if candidate.slug == model), None)
        if found is None:
            raise ModelNotFound(model=model)
        return Response(model_info(found) if speaks_anthropic(request) else openai_model(found))


def openai_model(model: ModelRef) -> dict[str, Any]:
    created = int(model.created_at.timestamp())
    return {"id": model.slug, "object": "model", "created": created, "owned_by": model.provider}
