"""Writes each event of a running turn to disk before clients see it, so that none is lost with the process.

One file per turn in DATA_DIR, written without waiting for the disk: it outlives the process, not the machine.
Another machine recovers a turn from the events on Redis, or from the reply so far in the database.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from gateway.engines.events import Event
from gateway.turns.event_json import data_of, name_of, reply_event, reply_events
from gateway.turns.transcript import Transcript

log = structlog.get_logger(__name__)
OLDEST_SECONDS = 24 * 3600  # a turn takes minutes: an older file's turn was recovered elsewhere


class Journal:
    """One turn's file. If the disk is full, the file ends and the turn continues without it.

    `parts` is the reply so far of a turn that was taken over.
    """

    def __init__(self, turn_id: UUID, parts: list[dict[str, Any]]) -> None:
        self._path = _path_of(turn_id)
        self._file: int | None = None
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._write({"parts": parts})
        except OSError as problem:
            self._give_up(problem)

    def append(self, event: Event) -> None:
        if self._file is None:
            return
        try:
            self._write([name_of(event), data_of(event)])
        except OSError as problem:
            self._give_up(problem)

    def end(self) -> None:
        """Deletes the file, once the turn is closed in the database."""
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
    """The reply as recorded on this machine; None if it was not."""
    try:
        lines = _path_of(turn_id).read_bytes().split(b"\n")
    except OSError:
        return None
    transcript: Transcript | None = None
    for line in lines[:-1]:  # the last one is empty, or cut off
        with suppress(ValueError):
            entry = json.loads(line)
            if transcript is None:
                transcript = Transcript(events=reply_events(entry["parts"]))
            else:
                transcript.append(reply_event(*entry))
    return transcript


def forget(turn_id: UUID) -> None:
    """Deletes the file of a turn that was recovered."""
    with suppress(OSError):
        _path_of(turn_id).unlink(missing_ok=True)


def forget_old(now: float) -> None:
    """Deletes the files of turns that another machine recovered; `now` in seconds since the epoch."""
    for path in _folder().glob("*.jsonl"):
        with suppress(OSError):
            if now - path.stat().st_mtime > OLDEST_SECONDS:
                path.unlink()


def _folder() -> Path:
    return settings.DATA_DIR / "turns"


def _path_of(turn_id: UUID) -> Path:
    return _folder() / f"{turn_id}.jsonl"
