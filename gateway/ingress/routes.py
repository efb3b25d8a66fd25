"""Which address which consumer answers; everything else is Django's."""

from typing import Any, cast

from channels.routing import URLRouter
from django.urls import path, re_path

from gateway.ingress import consumers, web
from gateway.ingress.completions import CompletionsConsumer
from gateway.ingress.socket import ChatSocket


def http_router(django_app: Any) -> URLRouter:
    """Consumers first, Django behind them."""
    return URLRouter(
        [
            path("v1/chat/send", consumers.SendConsumer.as_asgi()),
            path("v1/chat/explain", consumers.ExplainConsumer.as_asgi()),
            path("v1/chat/turns/<uuid:turn_id>/events", consumers.EventsConsumer.as_asgi()),
            path("v1/chat/turns/<uuid:turn_id>/stop", consumers.StopConsumer.as_asgi()),
            path("t/<slug:tenant>/w/<slug:workspace>/chat/send", web.WebSendConsumer.as_asgi()),
            path(
                "t/<slug:tenant>/w/<slug:workspace>/turns/<uuid:turn_id>/events",
                web.WebEventsConsumer.as_asgi(),
            ),
            path(
                "t/<slug:tenant>/w/<slug:workspace>/turns/<uuid:turn_id>/stop", web.WebStopConsumer.as_asgi()
            ),
            path("v1/chat/completions", CompletionsConsumer.as_asgi()),
            re_path(r"", django_app),
        ]
    )


def websocket_router() -> URLRouter:
    return URLRouter([path("ws/chat", ChatSocket.as_asgi()), re_path(r"", cast("Any", refuse_socket))])


async def refuse_socket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An unknown address: refused before it is accepted, which the server tells as a 403."""
    await receive()
    await send({"type": "websocket.close"})
