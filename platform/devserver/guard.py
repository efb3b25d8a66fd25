"""The supervisor's hold on its guard: a process that ends everything should the supervisor be killed."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO


class Guard:
    """Tells the guard what runs; when this process ends in whatever way, the pipe to the guard closes."""

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
        self._say(f"watch {pid}")

    def forget(self, pid: int) -> None:
        self._say(f"forget {pid}")

    def own_database(self, folder: Path) -> None:
        self._say(f"database {folder}")

    def dismiss(self) -> None:
        """Everything has been stopped in order; the guard has nothing to do any more."""
        self._say("dismissed")
        with suppress(OSError):
            self._stdin.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        with suppress(OSError):  # a dead guard is noticed by whoever asks `is_alive`
            self._stdin.write(f"{line}\n")
            self._stdin.flush()

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
        return self._process.stdin
