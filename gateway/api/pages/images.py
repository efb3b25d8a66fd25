"""Images for the web: uploaded by the composer's script, shown in the chat."""

from uuid import UUID

from django.http import Http404, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.page_urls import page_url
from gateway.api.images import image_answer, read_bounded
from gateway.conversations.images import attach_image, discard_image, find_image
from kit.api import json_error
from kit.errors import DomainError, NotFound, SecretUnreadable


@require_POST
def attach(request: WorkspaceRequest, **_: str) -> HttpResponse:
    """The body is the picture; returns its id and URL as JSON."""
    try:
        row = attach_image(principal=request.principal, upload=read_bounded(request))
    except DomainError as error:
        return json_error(error)
    url = page_url(request.principal, "chat_image", image_id=row.id)
    return JsonResponse({"id": str(row.id), "url": url}, status=201)


@require_GET
def image(request: WorkspaceRequest, image_id: UUID, **_: str) -> HttpResponse:
    try:
        return image_answer(request, find_image(principal=request.principal, image_id=image_id))
    except (NotFound, SecretUnreadable) as exc:
        raise Http404 from exc


@require_POST
def discard(request: WorkspaceRequest, image_id: UUID, **_: str) -> HttpResponse:
    try:
        discard_image(principal=request.principal, image_id=image_id)
    except DomainError as error:
        return json_error(error)
    return HttpResponse(status=204)
