"""A process of the supervisor: its output, exit code and termination."""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

STORED_LINES = 20
POLL_SECONDS = 0.05


class Child:
    """A process in its own session, so that Ctrl-C in the terminal reaches only the supervisor.

    Stores its last lines of output; `show` receives each line. It is stopped by closing its standard input
    if `ends_with_stdin`, otherwise by SIGTERM.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: dict[str, str],
        folder: Path,
        show: Callable[[str], None] | None = None,
        ends_with_stdin: bool = False,
    ) -> None:
        self.name = name
        self.command = list(command)  # may be changed before `restarted`
        self._environment = environment
        self._folder = folder
        self._show = show
        self._ends_with_stdin = ends_with_stdin
        self._lines: deque[str] = deque(maxlen=STORED_LINES)
        self._process = subprocess.Popen(  # noqa: S603 - the commands are ours
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE if ends_with_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"{name}-output", daemon=True)
        self._reader.start()

    def restarted(self) -> "Child":
        """Starts the process again, with the current command and environment."""
        return Child(
            self.name,
            self.command,
            environment=self._environment,
            folder=self._folder,
            show=self._show,
            ends_with_stdin=self._ends_with_stdin,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that killed it."""
        return self._process.poll()

    @property
    def exit_reason(self) -> str:
        code = self.exit_code or 0
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    def last_lines(self) -> list[str]:
        """Its last lines of output; complete once it has ended."""
        if self.exit_code is not None:
            self._reader.join(timeout=1)
        return list(self._lines)

    def stop(self, seconds: float, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """Asks it to end, waits, and kills what remains of its session."""
        self._ask_to_end()
        deadline = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < deadline and not hurry():
            time.sleep(POLL_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(timeout=1)

    def _ask_to_end(self) -> None:
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()
        elif self.exit_code is None:
            self._process.terminate()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was opened as a pipe
        for line in self._process.stdout:
            self._lines.append(line.rstrip("\n"))
            if self._show:
                self._show(f"{self.name:6} | {line.rstrip()}")
