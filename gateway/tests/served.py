"""Serves an ASGI application on a free loopback port in a thread, for tests over real sockets."""

import threading
from types import TracebackType
from typing import Any

import uvicorn

STOP_SECONDS = 20


class Served:
    """`with Served(app) as server: … server.url`; leaving it runs the lifespan's shutdown."""

    def __init__(self, application: Any, *, lifespan: str = "off", port: int = 0) -> None:
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
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> "Served":
        started = threading.Event()
        startup = self.server.startup

        async def tell_startup(sockets: Any = None) -> None:
            await startup(sockets)
            started.set()

        self.server.startup = tell_startup  # type: ignore[method-assign]
        self.thread.start()
        assert started.wait(20), "the server did not start"
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.should_exit = True
        self.thread.join(STOP_SECONDS)
        assert not self.thread.is_alive(), "the server did not stop"
