"""Serves an ASGI application on a free loopback port in a thread, for tests over real sockets."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

import uvicorn

T = TypeVar("T")
STOP_SECONDS = 20


class Served:
    """`with Served(app) as server: … server.url`; leaving it runs the lifespan's shutdown."""

    def __init__(
        self, application: Any, *, lifespan: str = "off", port: int = 0, also_at: int | None = None
    ) -> None:
        """`also_at`: a second port, 0 for a free one; both are served by the same event loop."""
        config = uvicorn.Config(
            application,
            host="127.0.0.1",
            port=port,
            lifespan=lifespan,  # type: ignore[arg-type]
            ws="websockets-sansio",
            proxy_headers=False,
            log_level="critical",
        )
        self.server = uvicorn.Server(config)
        sockets = None if also_at is None else [_bound(port), _bound(also_at)]
        self.thread = threading.Thread(target=self.server.run, args=[sockets], daemon=True)

    def __enter__(self) -> "Served":
        started = threading.Event()
        startup = self.server.startup

        async def report_startup(sockets: Any = None) -> None:
            await startup(sockets)
            self.loop = asyncio.get_running_loop()
            started.set()

        self.server.startup = report_startup  # type: ignore[method-assign]
        self.thread.start()
        assert started.wait(20), "the server did not start"
        self.ports = [server.sockets[0].getsockname()[1] for server in self.server.servers]
        self.port = self.ports[0]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it in the server's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(STOP_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.should_exit = True
        self.thread.join(STOP_SECONDS)
        assert not self.thread.is_alive(), "the server did not stop"


def _bound(port: int) -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    return found
