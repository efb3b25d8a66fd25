"""A process that repeats one job, killed by SIGKILL before its first statement, its second, …

Each run starts from what the killed ones left in the database, as after a restart of the worker. Prints how
many runs were killed before one came to its end.
"""

import asyncio
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django
from django.db.backends.signals import connection_created

if __name__ == "__main__":
    django.setup()

from procrastinate.contrib.django import app

MOST_STATEMENTS = 300


def run_until_it_ends(task: str, arguments: dict[str, Any]) -> int:
    for statements in range(MOST_STATEMENTS):
        child = os.fork()
        if child == 0:
            _run(task, arguments, most_statements=statements)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return statements
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            raise SystemExit(f"{task} failed by itself after {statements} kills")
    raise SystemExit(f"{task} still has statements to run after {MOST_STATEMENTS} kills")


def _run(task: str, arguments: dict[str, Any], *, most_statements: int) -> None:
    left = most_statements

    def die_in_time(execute: Callable[..., Any], *statement: Any) -> Any:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return execute(*statement)

    def watch(connection: Any, **_: Any) -> None:
        if die_in_time not in connection.execute_wrappers:
            connection.execute_wrappers.append(die_in_time)

    connection_created.connect(watch)
    try:
        work = app.tasks[task].func(**arguments)
        if inspect.isawaitable(work):
            asyncio.run(_awaited(work))
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)


async def _awaited(work: Any) -> None:
    await work


if __name__ == "__main__":
    sys.stdout.write(f"{run_until_it_ends(sys.argv[1], json.loads(sys.argv[2]))}\n")
