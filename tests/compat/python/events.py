"""Runs a coding agent's command, which prints its events as JSON lines."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMMAND_SECONDS = 110
FOLDER = Path.cwd() / "work"


def events_of(command: Sequence[str], *, prompt: str = "", **variables: str) -> list[dict[str, Any]]:
    """Runs in FOLDER with `prompt` as its input, and `variables` in its environment."""
    done = subprocess.run(
        command,
        input=prompt,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        cwd=FOLDER,
        env={**os.environ, **variables},
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert events, f"exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return events
