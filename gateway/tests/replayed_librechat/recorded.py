"""Reads the recordings of the real LibreChat, and parses its frames."""

import json
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parent / "recordings"

Frame = tuple[str, dict[str, Any]]


def exchanges(name: str) -> list[dict[str, Any]]:
    """The recorded requests and their responses, in order; `chat_routed` for `chat_routed.json`."""
    recording = json.loads((RECORDINGS / f"{name}.json").read_text())
    found: list[dict[str, Any]] = recording["exchanges"]
    return found


def frames(sse: str) -> list[Frame]:
    """The event name and the data of each whole frame."""
    found = []
    for block in sse.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def kind(frame: Frame) -> str:
    """What a frame is: `created`, `sync`, `final`, `error`, or the name of its event."""
    event, data = frame
    if event == "error":
        return "error"
    return str(data.get("event") or next(key for key in ("created", "sync", "final") if key in data))


def is_last(frame: Frame) -> bool:
    return kind(frame) in ("final", "error")
