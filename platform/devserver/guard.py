"""The supervisor's side of the guard: a process that ends everything if the supervisor is killed."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO


class Guard:
    """Reports running processes to the guard; when this process ends for any reason, the pipe closes."""

    name = "guard"

    def __init__(
        self, *, environment: dict[str, str], folder: Path, lock_fd: int, stop_seconds: float
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            [sys.executable, "-m", "devserver.guard_process", str(lock_fd), str(stop_seconds)],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            text=True,
            pass_fds=(lock_fd,),
            start_new_session=True,
        )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def watch(self, pid: int) -> None:
        self._send(f"watch {pid}")

    def forget(self, pid: int) -> None:
        self._send(f"forget {pid}")

    def own_database(self, folder: Path) -> None:
        self._send(f"database {folder}")

    def dismiss(self) -> None:
        """Ends the guard after everything was stopped in order."""
        self._send("dismissed")
        with suppress(OSError):
            self._stdin.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        with suppress(OSError):  # a dead guard is detected by `is_alive`
            self._stdin.write(f"{line}\n")
            self._stdin.flush()

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
        return self._process.stdin
