"""REST for prompts: the library, versions, and what a prompt comes to with its values."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import WorkspaceView
from accounts.policy import Action
from accounts.serializers import NameField, page_of
from accounts.sign_in.api import checked
from accounts.teams.api.tenant import PAGING
from kit.api import Pages
from kit.errors import InvalidInput
from workspaces.prompts import services
from workspaces.prompts.models import Prompt
from workspaces.prompts.render import TYPES, Variable


class LabelField(serializers.CharField):
    """What people read beside a place to write; empty: the variable's name."""

    def __init__(self) -> None:
        super().__init__(max_length=100, required=False, default="", allow_blank=True)


class VariableSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=40)
    type = serializers.ChoiceField(TYPES, required=False, default="text")
    label = LabelField()  # type: ignore[assignment]  # a field called label
    required = serializers.BooleanField(required=False, default=True)  # type: ignore[assignment]
    default = serializers.JSONField(required=False, default=None, allow_null=True)
    options = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, default=list, max_length=100
    )


class PromptFieldsSerializer(serializers.Serializer[Any]):
    """What a prompt is made of."""

    title = NameField()
    description = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    visibility = serializers.ChoiceField(
        Prompt.Visibility.choices, required=False, default=Prompt.Visibility.WORKSPACE.value
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, default=list, max_length=50
    )
    text = serializers.CharField(max_length=100_000, trim_whitespace=False)
    variables = VariableSerializer(many=True, required=False, default=list)

    def validate_variables(self, variables: list[dict[str, Any]]) -> list[Variable]:
        if any("name" not in data for data in variables):  # a change asks for no field, nor for those within
            raise serializers.ValidationError("Each variable needs a name.")
        return [Variable.from_data(data) for data in variables]


class PromptWishSerializer(PromptFieldsSerializer):
    slug = serializers.CharField(max_length=60)


class PromptChangeSerializer(PromptFieldsSerializer):
    note = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)


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
    user_id = serializers.UUIDField(help_text="Its author")
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


class RollbackSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class ValuesSerializer(serializers.Serializer[Any]):
    variables = serializers.DictField(required=False, default=dict)


class RenderedSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(source="number")
    text = serializers.CharField()


class LatestChanged(Pages):
    ordering = ("-updated_at", "-id")


class PromptsView(WorkspaceView):
    policy: ClassVar = {"GET": Action.PROMPTS_VIEW, "POST": Action.PROMPTS_CHANGE}

    @extend_schema(
        operation_id="prompts",
        tags=["prompts"],
        parameters=[
            *PAGING,
            OpenApiParameter("find", str),
            OpenApiParameter("tag", str),
            OpenApiParameter("favourites", bool),
        ],
        responses=page_of(PromptSerializer),
    )
    def get(self, request: Request, workspace: str) -> Response:
        """Lists the prompts that you may use here, the latest changed first."""
        asked = request.query_params
        rows = services.listed_prompts(
            place=self.place,
            find=asked.get("find", "")[:200],
            tag=asked.get("tag", "")[:40],
            favourites=asked.get("favourites") == "true",
        )
        pages = LatestChanged()
        shown = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(PromptSerializer(shown, many=True).data)

    @extend_schema(
        operation_id="create_prompt",
        tags=["prompts"],
        request=PromptWishSerializer,
        responses={201: PromptSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Creates a prompt with its first version."""
        row = services.create_prompt(principal=self.place, **checked(PromptWishSerializer, request))
        return Response(PromptSerializer(row).data, status=201)


class PromptView(WorkspaceView):
    policy: ClassVar = {
        "GET": Action.PROMPTS_VIEW,
        "PATCH": Action.PROMPTS_CHANGE,
        "DELETE": Action.PROMPTS_CHANGE,
    }

    @extend_schema(operation_id="prompt", tags=["prompts"], responses=PromptSerializer)
    def get(self, request: Request, workspace: str, prompt: str) -> Response:
        """Returns a prompt, by slug or id."""
        return Response(PromptSerializer(services.find_prompt(place=self.place, slug=prompt)).data)

    @extend_schema(
        operation_id="change_prompt",
        tags=["prompts"],
        request=PromptChangeSerializer,
        responses=PromptSerializer,
    )
    def patch(self, request: Request, workspace: str, prompt: str) -> Response:
        """Changes the given fields; a new text or other variables make a new version."""
        serializer = PromptChangeSerializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        if not serializer.validated_data:
            raise InvalidInput(title=["Nothing to change: send at least one field."])
        row = services.change_prompt(principal=self.place, slug=prompt, **serializer.validated_data)
        return Response(PromptSerializer(row).data)

    @extend_schema(operation_id="remove_prompt", tags=["prompts"], responses={204: None})
    def delete(self, request: Request, workspace: str, prompt: str) -> Response:
        """Deletes a prompt and its versions permanently; its slug is never reused."""
        services.remove_prompt(principal=self.place, slug=prompt)
        return Response(status=204)


class VersionsView(WorkspaceView):
    policy: ClassVar = {"GET": Action.PROMPTS_VIEW}

    @extend_schema(
        operation_id="prompt_versions",
        tags=["prompts"],
        parameters=PAGING,
        responses=page_of(VersionSerializer),
    )
    def get(self, request: Request, workspace: str, prompt: str) -> Response:
        """Lists every version, the latest first."""
        pages = Pages()
        rows = services.find_prompt(place=self.place, slug=prompt).versions.all()
        shown = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(VersionSerializer(shown, many=True).data)


class DiffView(WorkspaceView):
    policy: ClassVar = {"GET": Action.PROMPTS_VIEW}

    @extend_schema(operation_id="prompt_diff", tags=["prompts"], responses=DiffSerializer)
    def get(self, request: Request, workspace: str, prompt: str, before: int, after: int) -> Response:
        """Compares two versions, as lines of a unified diff."""
        row = services.find_prompt(place=self.place, slug=prompt)
        return Response({"data": services.diff_versions(row, before, after)})


class RollbackView(WorkspaceView):
    policy: ClassVar = {"POST": Action.PROMPTS_CHANGE}

    @extend_schema(
        operation_id="roll_back_prompt",
        tags=["prompts"],
        request=RollbackSerializer,
        responses=PromptSerializer,
    )
    def post(self, request: Request, workspace: str, prompt: str) -> Response:
        """Creates a new version from an old one."""
        number = checked(RollbackSerializer, request)["version"]
        row = services.roll_back(principal=self.place, slug=prompt, number=number)
        return Response(PromptSerializer(row).data)


class FavouriteView(WorkspaceView):
    policy: ClassVar = {"PUT": Action.PROMPTS_USE, "DELETE": Action.PROMPTS_USE}

    @extend_schema(operation_id="like_prompt", tags=["prompts"], request=None, responses={204: None})
    def put(self, request: Request, workspace: str, prompt: str) -> Response:
        """Adds a prompt to your favourites."""
        services.set_favourite(principal=self.place, slug=prompt, is_favourite=True)
        return Response(status=204)

    @extend_schema(operation_id="unlike_prompt", tags=["prompts"], responses={204: None})
    def delete(self, request: Request, workspace: str, prompt: str) -> Response:
        """Removes a prompt from your favourites."""
        services.set_favourite(principal=self.place, slug=prompt, is_favourite=False)
        return Response(status=204)


class RenderView(WorkspaceView):
    policy: ClassVar = {"POST": Action.PROMPTS_USE}

    @extend_schema(
        operation_id="render_prompt",
        tags=["prompts"],
        request=ValuesSerializer,
        responses=RenderedSerializer,
    )
    def post(self, request: Request, workspace: str, prompt: str) -> Response:
        """Renders the text with these values, as `chat/send` would send it."""
        values = checked(ValuesSerializer, request)["variables"]
        rendered = services.render_prompt(place=self.place, slug=prompt, values=values)
        return Response(RenderedSerializer(rendered).data)
