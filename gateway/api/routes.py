"""The consumers' URLs, and the largest body per URL; all other URLs are Django's."""

import re
from typing import Any, cast

from channels.routing import URLRouter
from django.conf import settings
from django.urls import path, re_path

from gateway.api import browser, turn_consumers
from gateway.api.completions import CompletionsConsumer
from gateway.api.embeddings import EmbeddingsConsumer
from gateway.api.messages.consumers import CountTokensConsumer, MessagesConsumer
from gateway.api.moderations import ModerationsConsumer
from gateway.api.responses.consumer import InputTokensConsumer, ResponsesConsumer
from gateway.api.socket import ChatSocket

PICTURES = re.compile(r"/v1/images|/t/[^/]+/w/[^/]+/images|/accounts/profile/")
# Long histories, images and documents: the limit is settings.MODEL_CALL_MAX_BODY_BYTES.
MODEL_CALLS = re.compile(
    r"/v1/(?:chat/completions|chat/send|chat/explain|responses(?:/input_tokens)?|messages(?:/count_tokens)?|embeddings"
    r"|moderations|audio/.+|images/generations)"
)
FORM_BYTES = 20_000  # of the form around a picture
# Sign-in, sign-up and passkeys, without authentication: their parsers take quadratic time.
ACCOUNT_FORMS = ("/accounts/", "/_allauth/")
ACCOUNT_BYTES = 64_000


def most_body_bytes(path: str) -> int:
    """The largest body that a URL accepts."""
    if PICTURES.fullmatch(path):
        return max(settings.IMAGE_MAX_BYTES + FORM_BYTES, settings.MAX_BODY_BYTES)
    if MODEL_CALLS.fullmatch(path):
        return max(settings.MODEL_CALL_MAX_BODY_BYTES, settings.MAX_BODY_BYTES)
    most: int = settings.MAX_BODY_BYTES
    return min(ACCOUNT_BYTES, most) if path.startswith(ACCOUNT_FORMS) else most


def http_router(django_app: Any) -> URLRouter:
    """Consumers first, then Django."""
    return URLRouter(
        [
            path("v1/chat/send", turn_consumers.SendConsumer.as_asgi()),
            path("v1/chat/explain", turn_consumers.ExplainConsumer.as_asgi()),
            path("v1/chat/turns/<uuid:turn_id>/events", turn_consumers.EventsConsumer.as_asgi()),
            path("v1/chat/turns/<uuid:turn_id>/stop", turn_consumers.StopConsumer.as_asgi()),
            path("t/<slug:tenant>/w/<slug:workspace>/chat/send", browser.WebSendConsumer.as_asgi()),
            path(
                "t/<slug:tenant>/w/<slug:workspace>/turns/<uuid:turn_id>/events",
                browser.WebEventsConsumer.as_asgi(),
            ),
            path(
                "t/<slug:tenant>/w/<slug:workspace>/turns/<uuid:turn_id>/stop",
                browser.WebStopConsumer.as_asgi(),
            ),
            path("v1/chat/completions", CompletionsConsumer.as_asgi()),
            path("v1/messages", MessagesConsumer.as_asgi()),
            path("v1/messages/count_tokens", CountTokensConsumer.as_asgi()),
            path("v1/responses", ResponsesConsumer.as_asgi()),
            path("v1/responses/input_tokens", InputTokensConsumer.as_asgi()),
            path("v1/embeddings", EmbeddingsConsumer.as_asgi()),
            path("v1/moderations", ModerationsConsumer.as_asgi()),
            re_path(r"", django_app),
        ]
    )


def websocket_router() -> URLRouter:
    return URLRouter([path("ws/chat", ChatSocket.as_asgi()), re_path(r"", cast("Any", refuse_socket))])


async def refuse_socket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """For an unknown URL: closes before accepting, which the server sends as a 403."""
    await receive()
    await send({"type": "websocket.close"})
