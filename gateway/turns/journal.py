"""Keeps each event of a running turn on disk before it is shown, so that none is lost with the process.

A file per turn in DATA_DIR, written without waiting for the disk: it outlives the process, not the machine.
Another machine recovers a turn by what Redis relayed, or by what the turn had written to the database.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from gateway.engines.base import Event
from gateway.turns.transcript import Transcript

log = structlog.get_logger(__name__)
OLDEST_SECONDS = 24 * 3600  # a turn takes minutes: what is older was recovered elsewhere


class Journal:
    """One turn's file; a disk that takes nothing more ends it, and the turn goes on without."""

    def __init__(self, turn_id: UUID, told: list[dict[str, Any]]) -> None:
        self._path = _path_of(turn_id)
        self._file: int | None = None
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._write({"parts": told})
        except OSError as problem:
            self._give_up(problem)

    def append(self, event: Event) -> None:
        if self._file is None:
            return
        try:
            self._write([event.type, event.data])
        except OSError as problem:
            self._give_up(problem)

    def end(self) -> None:
        """Once the turn is closed in the database, which has it all."""
        self._close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self, entry: Any) -> None:
        if self._file is not None:
            line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
            if os.write(self._file, line) != len(line):
                raise OSError("the disk is full")

    def _give_up(self, problem: OSError) -> None:
        log.warning("a turn is not recorded on disk", folder=str(self._path.parent), error=problem.strerror)
        self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def recorded(turn_id: UUID) -> Transcript | None:
    """The reply as far as it was recorded here; None where it was not."""
    try:
        lines = _path_of(turn_id).read_bytes().split(b"\n")
    except OSError:
        return None
    transcript: Transcript | None = None
    for line in lines[:-1]:  # the last one is empty, or cut off
        with suppress(ValueError):
            entry = json.loads(line)
            if transcript is None:
                transcript = Transcript({}, entry["parts"])
            else:
                transcript.append(Event(*entry))
    return transcript


def forget(turn_id: UUID) -> None:
    """For a turn that was recovered."""
    with suppress(OSError):
        _path_of(turn_id).unlink(missing_ok=True)


def forget_old(now: float) -> None:
    """Deletes what turns left that another machine has recovered; `now` in seconds since the epoch."""
    for path in _folder().glob("*.jsonl"):
        with suppress(OSError):
            if now - path.stat().st_mtime > OLDEST_SECONDS:
                path.unlink()


def _folder() -> Path:
    return settings.DATA_DIR / "turns"


def _path_of(turn_id: UUID) -> Path:
    return _folder() / f"{turn_id}.jsonl"
