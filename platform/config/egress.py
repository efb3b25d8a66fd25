"""The ASGI application of the egress, which engines call, on a separate port that is never published."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "platform")) if path not in sys.path]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402 - the path and the settings come first

django.setup()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - consumers import models
from django.conf import settings  # noqa: E402
from django.urls import path, re_path  # noqa: E402

from config.system_checks import refuse_broken_setup  # noqa: E402
from gateway.calls.late_counts import reading_on  # noqa: E402
from gateway.egress import consumers  # noqa: E402
from gateway.egress.mcp_consumer import CheckServerConsumer, EngineServerConsumer  # noqa: E402
from gateway.egress.routed_calls import running_calls  # noqa: E402
from kit.bodies import BoundedBodies  # noqa: E402
from kit.database_retry import end_patience  # noqa: E402
from kit.file_descriptors import raise_limit  # noqa: E402
from kit.per_loop import close_values  # noqa: E402
from kit.postgresql.base import bound_locks  # noqa: E402
from kit.shutdown_responses import ShutdownResponses  # noqa: E402
from kit.uvicorn_shutdown import DRAIN, drain_before_shutdown  # noqa: E402

refuse_broken_setup()
raise_limit()
bound_locks()
drain_before_shutdown()


async def drain(open_requests: set[asyncio.Task[None]]) -> None:
    """Lets the calls of running turns continue for GRACE, then ends and settles them."""
    if open_requests:
        await asyncio.wait(set(open_requests), timeout=settings.GRACE)
    running_calls().end_all()


async def lifespan(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Listens for turns that are stopped while their calls run in this process."""
    listener: asyncio.Task[None] | None = None
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            listener = asyncio.create_task(running_calls().listen())
            scope.setdefault("state", {})[DRAIN] = drain
            await send({"type": "lifespan.startup.complete"})
            continue
        if listener is not None:
            listener.cancel()
        end_patience()
        await reading_on().settle_all()
        await close_values()
        await send({"type": "lifespan.shutdown.complete"})
        return


router = URLRouter(
    [
        path("v1/chat/completions", consumers.RoutedCallConsumer.as_asgi()),
        path("v1/models", consumers.RoutedModelsConsumer.as_asgi()),
        re_path(r"^mcp/(?P<tenant>[a-z0-9-]+)\.(?P<id>[0-9a-f]{32})$", EngineServerConsumer.as_asgi()),
        re_path(r"^mcp-check/(?P<id>[0-9a-f]{32})$", CheckServerConsumer.as_asgi()),
        path("healthz", consumers.HealthConsumer.as_asgi()),
        re_path(r"", consumers.NotFoundConsumer.as_asgi()),
    ]
)
application = ProtocolTypeRouter(
    {
        "http": ShutdownResponses(
            BoundedBodies(
                router,
                most_bytes=lambda path: settings.EGRESS_MAX_BODY_BYTES,
                status_of=consumers.engine_status,
                is_open=False,
            ),
            status_of=consumers.engine_status,
        ),
        "lifespan": lifespan,
    }
)
