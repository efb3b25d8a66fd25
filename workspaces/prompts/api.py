"""REST for prompts: the library, versions, and rendering with values."""

from typing import ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import WorkspaceView
from accounts.policy import Action
from accounts.serializers import page_of
from accounts.teams.api.tenant import PAGING
from kit.api import Pages
from kit.errors import InvalidInput
from kit.inputs import read_body, serializer_of
from workspaces.prompts import queries, services
from workspaces.prompts.inputs import PromptChange, PromptInput, RollbackInput, ValuesInput
from workspaces.prompts.serializers import (
    DiffSerializer,
    PromptSerializer,
    RenderedSerializer,
    VersionSerializer,
)


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
        """Lists the prompts that you may use in the workspace, the latest changed first."""
        query = request.query_params
        rows = queries.listed_prompts(
            principal=self.principal,
            find=query.get("find", "")[:200],
            tag=query.get("tag", "")[:40],
            favourites=query.get("favourites") == "true",
        )
        pages = LatestChanged()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(PromptSerializer(page, many=True).data)

    @extend_schema(
        operation_id="create_prompt",
        tags=["prompts"],
        request=serializer_of(PromptInput),
        responses={201: PromptSerializer},
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Creates a prompt with its first version."""
        prompt = read_body(PromptInput, request.data)
        row = services.create_prompt(principal=self.principal, prompt=prompt)
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
        return Response(PromptSerializer(queries.find_prompt(principal=self.principal, slug=prompt)).data)

    @extend_schema(
        operation_id="change_prompt",
        tags=["prompts"],
        request=serializer_of(PromptChange),
        responses=PromptSerializer,
    )
    def patch(self, request: Request, workspace: str, prompt: str) -> Response:
        """Changes the given fields; a new text or other variables make a new version."""
        change = read_body(PromptChange, request.data)
        if change == PromptChange():
            raise InvalidInput(title=["Nothing to change: send at least one field."])
        row = services.change_prompt(principal=self.principal, slug=prompt, change=change)
        return Response(PromptSerializer(row).data)

    @extend_schema(operation_id="remove_prompt", tags=["prompts"], responses={204: None})
    def delete(self, request: Request, workspace: str, prompt: str) -> Response:
        """Deletes a prompt and its versions permanently; its slug can be used again."""
        services.remove_prompt(principal=self.principal, slug=prompt)
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
        rows = queries.find_prompt(principal=self.principal, slug=prompt).versions.all()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(VersionSerializer(page, many=True).data)


class DiffView(WorkspaceView):
    policy: ClassVar = {"GET": Action.PROMPTS_VIEW}

    @extend_schema(operation_id="prompt_diff", tags=["prompts"], responses=DiffSerializer)
    def get(self, request: Request, workspace: str, prompt: str, before: int, after: int) -> Response:
        """Compares two versions, as lines of a unified diff."""
        row = queries.find_prompt(principal=self.principal, slug=prompt)
        return Response({"data": queries.diff_versions(row, before, after)})


class RollbackView(WorkspaceView):
    policy: ClassVar = {"POST": Action.PROMPTS_CHANGE}

    @extend_schema(
        operation_id="roll_back_prompt",
        tags=["prompts"],
        request=serializer_of(RollbackInput),
        responses=PromptSerializer,
    )
    def post(self, request: Request, workspace: str, prompt: str) -> Response:
        """Creates a new version from an old one."""
        number = read_body(RollbackInput, request.data).version
        row = services.roll_back(principal=self.principal, slug=prompt, number=number)
        return Response(PromptSerializer(row).data)


class FavouriteView(WorkspaceView):
    policy: ClassVar = {"PUT": Action.PROMPTS_USE, "DELETE": Action.PROMPTS_USE}

    @extend_schema(operation_id="like_prompt", tags=["prompts"], request=None, responses={204: None})
    def put(self, request: Request, workspace: str, prompt: str) -> Response:
        """Adds a prompt to your favourites."""
        services.set_favourite(principal=self.principal, slug=prompt, is_favourite=True)
        return Response(status=204)

    @extend_schema(operation_id="unlike_prompt", tags=["prompts"], responses={204: None})
    def delete(self, request: Request, workspace: str, prompt: str) -> Response:
        """Removes a prompt from your favourites."""
        services.set_favourite(principal=self.principal, slug=prompt, is_favourite=False)
        return Response(status=204)


class RenderView(WorkspaceView):
    policy: ClassVar = {"POST": Action.PROMPTS_USE}

    @extend_schema(
        operation_id="render_prompt",
        tags=["prompts"],
        request=serializer_of(ValuesInput),
        responses=RenderedSerializer,
    )
    def post(self, request: Request, workspace: str, prompt: str) -> Response:
        """Renders the text with these values, as `chat/send` would send it."""
        values = read_body(ValuesInput, request.data).variables
        rendered = queries.render_prompt(principal=self.principal, slug=prompt, values=values)
        return Response(RenderedSerializer(rendered).data)
