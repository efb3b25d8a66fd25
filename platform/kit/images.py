"""Re-encodes uploaded images, in child processes with bounded time and memory, shared fairly."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import structlog

from kit.errors import InvalidInput
from kit.fair_slots import FairSlots

log = structlog.get_logger(__name__)
CHILD = Path(__file__).with_name("picture_child.py")
CPU_SECONDS = 4
WALL_SECONDS = 20.0  # on a busy machine
MEMORY_BYTES = 450_000_000  # of address space; a progressive photo of 50 million pixels uses 350 MB
ANSWER_BYTES = 20_000_000
TOO_LONG = "This image takes too long to process."
BUSY = "Too many images are being processed. Try again shortly."
_slots = FairSlots(most=2, wait_seconds=10.0, most_waiting=4, busy=BUSY)


@dataclass(frozen=True, slots=True)
class NewPicture:
    """An image as it is stored: only the pixels of the upload."""

    media_type: str
    data: bytes = field(repr=False)
    size: tuple[int, int]


def make_picture(
    upload: bytes, *, name: str, side: int, square: bool, payers: tuple[Hashable, ...]
) -> NewPicture:
    """The first frame, upright: if `square`, a WebP with that side, else a JPEG or PNG that fits within it.

    `payers`, widest first (a tenant, a person), share the slots fairly. Takes seconds, so call it without a
    database connection. Raises InvalidInput for the field `name`, AtCapacity if too many wait.
    """
    with _slots.taken(payers):
        answer, data = _asked({"square": square, "side": side}, upload)
    if "refused" in answer:
        raise InvalidInput(**{name: [answer["refused"]]})
    width, height = answer["size"]
    return NewPicture(answer["media_type"], data, (width, height))


def _asked(job: dict[str, Any], upload: bytes) -> tuple[dict[str, Any], bytes]:
    bounds = {"cpu_seconds": CPU_SECONDS, "memory_bytes": MEMORY_BYTES, "answer_bytes": ANSWER_BYTES}
    with _file() as source, _file() as sink:
        source.write(upload)
        source.seek(0)
        status = _run(json.dumps({**job, **bounds}), source, sink)
        sink.seek(0)
        if status == 0:
            head, _, data = sink.read(ANSWER_BYTES).partition(b"\n")
            return json.loads(head), data
    log.warning("image could not be processed", status=status, bytes=len(upload))
    return {"refused": TOO_LONG}, b""


def _run(job: str, source: IO[bytes], sink: IO[bytes]) -> int:
    """The child's exit status. The child gets no environment of ours, and is killed with its descendants."""
    command = [sys.executable, "-I", str(CHILD), job]
    with subprocess.Popen(  # noqa: S603 - our own script
        command,
        stdin=source,
        stdout=sink,
        stderr=subprocess.DEVNULL,
        env={"LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    ) as child:
        try:
            return child.wait(WALL_SECONDS)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)


def _file() -> IO[bytes]:
    """An in-memory file if the system supports it."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("picture"), "w+b")
    return tempfile.TemporaryFile()
