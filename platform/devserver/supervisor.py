"""Starts processes one after another, restarts those that die, and always ends all of them."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from devserver.child import Child
from devserver.errors import Failure
from devserver.guard import Guard
from devserver.restarts import Restarts
from devserver.stop_signal import StopSignal
from devserver.terminal import Terminal

POLL_SECONDS = 0.1
STEP_SECONDS = 3600.0  # a first start may fetch the weights over a slow line
DATABASE_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class OwnDatabase:
    """The installation's database; not a child, because its server outlives the process that started it."""

    start: list[str]
    stop: list[str]
    is_alive: Callable[[], bool]


class Supervisor:
    """Ends children in reverse order of their start, and the database last."""

    def __init__(
        self, *, folder: Path, terminal: Terminal, stop_signal: StopSignal, lock_fd: int, stop_seconds: float
    ) -> None:
        """`stop_seconds`: how long each child may take to stop."""
        self.environment = dict(os.environ)  # for all children started later
        self._folder = folder
        self._terminal = terminal
        self._stop_signal = stop_signal
        self._stop_seconds = stop_seconds
        self._children: list[Child] = []
        self._command: Child | None = None  # a child that is expected to end
        self._database: OwnDatabase | None = None
        self._database_checked_at = 0.0
        self._restarts = Restarts()
        self._is_up = False  # children that end before this are not restarted
        self._guard = Guard(
            environment=self.environment, folder=folder, lock_fd=lock_fd, stop_seconds=stop_seconds
        )

    def run(self, name: str, command: Sequence[str]) -> str:
        """Runs a command to its end and returns the last line it wrote."""
        child = self._command = self.start(name, command, show=False)
        self.wait_until(lambda: child.exit_code is not None, STEP_SECONDS, f"{name} takes too long.")
        self._children.remove(child)
        self._guard.forget(child.pid)
        self._command = None
        if child.exit_code:
            raise Failure(_exit_report(f"{name} failed", child))
        return (child.last_lines() or [""])[-1]

    def start(
        self, name: str, command: Sequence[str], *, show: bool = True, ends_with_stdin: bool = False
    ) -> Child:
        """Starts a child that is expected to run until the end."""
        child = Child(
            name,
            command,
            environment=self.environment,
            folder=self._folder,
            show=self._terminal.line if show else None,
            ends_with_stdin=ends_with_stdin,
        )
        self._guard.watch(child.pid)
        self._children.append(child)
        return child

    def own_database(self, folder: Path, database: OwnDatabase) -> None:
        """Watches the database in `folder`, and stops it at the end, here or in the guard."""
        self._database = database
        self._guard.own_database(folder)

    def wait_until(self, condition: Callable[[], bool], seconds: float, complaint: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            self._check()
            if time.monotonic() > deadline:
                raise Failure(complaint)
            time.sleep(POLL_SECONDS)

    def watch(self) -> NoReturn:
        """Never returns: raises StopRequested, or Failure if a process keeps dying."""
        self._is_up = True
        while True:
            self._check()
            time.sleep(POLL_SECONDS)

    def end_all(self) -> None:
        """Ends the children and the database; a second Ctrl-C shortens the wait, but keeps the order."""
        while self._children:
            child = self._children.pop()
            child.stop(self._stop_seconds, hurry=lambda: self._stop_signal.is_hurried)
            self._guard.forget(child.pid)
        if self._database:
            self._end_database(self._database.stop)
        self._guard.dismiss()

    def _end_database(self, command: list[str]) -> None:
        child = Child("database", command, environment=self.environment, folder=self._folder)
        while child.exit_code is None:
            time.sleep(POLL_SECONDS)
        if child.exit_code:
            self._terminal.line(_exit_report("The database could not be stopped", child))

    def _check(self) -> None:
        self._stop_signal.check()
        if not self._guard.is_alive:
            raise Failure("The guard process, which cleans up after a killed run, ended unexpectedly.")
        for child in self._children:
            if child.exit_code is not None and child is not self._command:
                self._replace(child)
        self._check_database()

    def _replace(self, child: Child) -> None:
        """Starts a dead child again after a pause; Failure when it has died too often."""
        if not self._is_up or self._restarts.are_used_up(child.name):
            raise Failure(_exit_report(f"The {child.name} process ended unexpectedly", child))
        if not self._restarts.is_due(child.name):
            return
        self._terminal.line(f"The {child.name} process ended ({child.exit_reason}) and is started again.")
        child.stop(0)  # remaining processes of its session may still use its port
        self._guard.forget(child.pid)
        successor = child.restarted()
        self._guard.watch(successor.pid)
        self._children[self._children.index(child)] = successor

    def _check_database(self) -> None:
        if not self._is_up or self._database is None or self._command is not None:
            return
        if time.monotonic() - self._database_checked_at < DATABASE_POLL_SECONDS:
            return
        self._database_checked_at = time.monotonic()
        if self._database.is_alive():
            return
        if self._restarts.are_used_up("database"):
            raise Failure("PostgreSQL keeps ending unexpectedly.")
        if self._restarts.is_due("database"):
            self._terminal.line("PostgreSQL ended unexpectedly and is started again.")
            self.run("PostgreSQL", self._database.start)


def _exit_report(what: str, child: Child) -> str:
    lines = [f"    {line}" for line in child.last_lines()]
    return "\n".join([f"{what} ({child.exit_reason}).", *(["Its last output:", *lines] if lines else [])])
