"""REST for images: uploaded here, sent by id in `chat/send`."""

from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView
from accounts.policy import Action
from gateway.conversations.images import attach_image, bytes_of, discard_image, find_image
from gateway.models import Image
from kit.body_validation import unknown_names
from kit.content_negotiation import refuse_compressed
from kit.errors import InvalidInput, PayloadTooLarge


class ImageSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    media_type = serializers.CharField()
    width = serializers.IntegerField(help_text="Pixels")
    height = serializers.IntegerField(help_text="Pixels")


@extend_schema_field(OpenApiTypes.BINARY)
class UploadField(serializers.FileField):
    """A file of a form."""


class ImageUploadSerializer(serializers.Serializer[Any]):
    image = UploadField(help_text="The image; the field may also be called `file`")


UPLOAD_FIELDS = ("image", "file")


def read_bounded(stream: Any) -> bytes:
    """The raw body. PayloadTooLarge."""
    body: bytes = stream.read(settings.IMAGE_MAX_BYTES + 1) if stream else b""
    if len(body) > settings.IMAGE_MAX_BYTES:
        raise PayloadTooLarge
    return body


def read_upload(request: Request) -> bytes:
    """The image of a multipart form, else the raw body. PayloadTooLarge, UnsupportedMediaType; InvalidInput
    for a form without exactly one file, or with fields that are not known."""
    refuse_compressed(request.headers.get("content-encoding", ""))
    if not request.content_type.lower().startswith("multipart/form-data"):
        return read_bounded(request.stream)
    try:
        files, texts = request.FILES, request.POST
    except (ParseError, SuspiciousOperation) as exc:
        raise InvalidInput(image=["This is not a valid multipart form."]) from exc
    if wrong := unknown_names({**files, **texts}, UPLOAD_FIELDS):
        raise InvalidInput(**wrong)
    uploads = [upload for name in UPLOAD_FIELDS for upload in files.getlist(name)]
    if len(uploads) != 1:
        raise InvalidInput(image=["Send one image as a file in this field."])
    return read_bounded(uploads[0])


def image_answer(request: HttpRequest, row: Image) -> HttpResponse:
    """A response in which nothing can run. Browsers revalidate each time, since access may have ended; the
    bytes are sent only once, since an image never changes."""
    etag = f'"{row.id}"'
    if request.headers.get("if-none-match") == etag:
        answer = HttpResponse(status=304)
    else:
        answer = HttpResponse(bytes_of(row), content_type=row.media_type)
    answer["ETag"] = etag
    answer["Cache-Control"] = "private, no-cache"
    answer["Content-Disposition"] = "inline"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


class ImagesView(PolicyView):
    policy: ClassVar = {"POST": Action.CHAT}
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="attach_image",
        tags=["chat"],
        request={"image/*": OpenApiTypes.BINARY, "multipart/form-data": ImageUploadSerializer},
        responses={201: ImageSerializer},
    )
    def post(self, request: Request) -> Response:
        """Uploads an image, as the body or as the file `image` of a form: PNG, JPEG, WebP or GIF, at most
        IMAGE_MAX_BYTES and 25 million pixels (50 million for a JPEG). Unsent images are deleted after a day.
        You can have 32 unsent images in a workspace; further uploads replace the oldest."""
        row = attach_image(principal=self.principal, upload=read_upload(request))
        return Response(ImageSerializer(row).data, status=201)


class ImageView(PolicyView):
    policy: ClassVar = {"GET": Action.CONVERSATIONS_VIEW, "DELETE": Action.CHAT}

    @extend_schema(operation_id="image", tags=["chat"], responses={(200, "image/*"): OpenApiTypes.BINARY})
    def get(self, request: Request, image_id: UUID) -> HttpResponse:
        """Returns the image to anyone who can read the conversation."""
        return image_answer(request, find_image(principal=self.principal, image_id=image_id))

    @extend_schema(operation_id="discard_image", tags=["chat"], responses={204: None})
    def delete(self, request: Request, image_id: UUID) -> Response:
        """Deletes one of your images that was not sent."""
        discard_image(principal=self.principal, image_id=image_id)
        return Response(status=204)
