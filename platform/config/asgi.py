"""The ASGI application: consumers for turns, Django for the rest, and a lifespan that lets turns finish."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "platform")) if path not in sys.path]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application  # noqa: E402 - the path and the settings come first

django_app = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402 - consumers import models

from config.engine_check_runner import check_at_start, should_check_at_start  # noqa: E402
from config.system_checks import refuse_broken_setup  # noqa: E402
from gateway.api.routes import http_router, most_body_bytes, websocket_router  # noqa: E402
from gateway.turns import background  # noqa: E402
from kit.bodies import BoundedBodies  # noqa: E402
from kit.cors import CrossOriginAccess  # noqa: E402
from kit.daphne_bodies import bound_daphne  # noqa: E402
from kit.file_descriptors import raise_limit  # noqa: E402
from kit.postgresql.base import bound_locks  # noqa: E402
from kit.shutdown_responses import ShutdownResponses  # noqa: E402
from kit.uvicorn_bounds import bound_uvicorn  # noqa: E402
from kit.uvicorn_shutdown import DRAIN, drain_before_shutdown  # noqa: E402

refuse_broken_setup()
bound_locks()
raise_limit()
bound_daphne(most_bytes=most_body_bytes)
bound_uvicorn()
drain_before_shutdown()

CHECK_END_SECONDS = 2.0  # for an engine check to clean up at the engine


async def drain(_open: set[asyncio.Task[None]]) -> None:
    """Waits for running turns when the server stops, before it closes anything."""
    await background.drain()


async def lifespan(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    check: asyncio.Task[None] | None = None
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            background.ensure_started()
            scope.setdefault("state", {})[DRAIN] = drain
            if should_check_at_start():
                check = asyncio.create_task(check_at_start())
            await send({"type": "lifespan.startup.complete"})
        else:
            if check is not None:
                check.cancel()
                await asyncio.wait({check}, timeout=CHECK_END_SECONDS)
            await background.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


application = ProtocolTypeRouter(
    {
        "http": CrossOriginAccess(
            ShutdownResponses(BoundedBodies(http_router(django_app), most_bytes=most_body_bytes))
        ),
        "websocket": websocket_router(),
        "lifespan": lifespan,
    }
)
