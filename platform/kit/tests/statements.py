"""Records what PostgreSQL is sent, for tests that count statements."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import BaseConnection

from kit import request_origin

Statement = tuple[str, Any]
CURSORS = (psycopg.Cursor, psycopg.ServerCursor)


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch, *, of_requests: bool = True) -> Iterator[list[Statement]]:
    """Every statement that goes to the server, in any thread: BEGIN, COMMIT and SET as well.

    With `of_requests` only those of requests, without the periodic work of the process. Leases are renewed
    on a connection of the event loop's own, which is never recorded.
    """
    statements: list[Statement] = []

    def spy(method: Callable[..., Any]) -> Callable[..., Any]:
        def note(self: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
            if not of_requests or request_origin.current().request_id:
                statements.append((_text(sql), args[0] if args else kwargs.get("params")))
            return method(self, sql, *args, **kwargs)

        return note

    with monkeypatch.context() as patched:
        for cursor in CURSORS:
            for name in ("execute", "executemany"):
                if name in vars(cursor):
                    patched.setattr(cursor, name, spy(vars(cursor)[name]))
        patched.setattr(BaseConnection, "_exec_command", spy(BaseConnection._exec_command))
        yield statements


def _text(sql: Any) -> str:
    if isinstance(sql, bytes):
        return sql.decode()
    return sql if isinstance(sql, str) else str(sql.as_string(None))
