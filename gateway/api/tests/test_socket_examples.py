"""docs/websocket.md is complete, and its examples run as they are printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from accounts.tests.cast import Cast
from gateway.api import socket
from gateway.api.frame_limits import TOO_MANY
from gateway.providers.base import ToolCallDelta
from gateway.tests.needs import needs
from gateway.tests.served import Served
from gateway.turns.event_json import NAMES
from gateway.turns.requests import SendSerializer

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "websocket.md").read_text()
NODE = ["node", "--experimental-websocket", "--no-warnings"]  # on Node.js 22 and later it needs neither


def rows(heading: str) -> dict[str, str]:
    """The tables of a section: the first column's code, and the rest of its row."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)
    return {
        name: rest for first, rest in found for name in re.findall(r"`(\w+)`|^(\d+)", first) for name in name
    }


def test_every_frame_field_and_close_code_is_described() -> None:
    received = rows("Frames that you receive")
    assert set(received) - {""} >= {*NAMES.values(), "ping", "moved"} - {NAMES[ToolCallDelta]}
    sent = rows("Frames that you send")
    assert set(sent) - {"", "type"} == {"send", "resume", "stop"}
    assert set(SendSerializer().fields) <= set(re.findall(r"`(\w+)`", sent["send"]))
    codes = {socket.SERVICE_RESTART, socket.TRY_AGAIN_LATER, socket.UNAUTHENTICATED, TOO_MANY}
    assert {int(code) for code in rows("Closing and resuming") if code.isdigit()} == codes
    assert f"at most {socket.MOST_FOLLOWED} turns" in PAGE


LANGUAGES = pytest.mark.parametrize(
    ("language", "command"),
    [("python", [sys.executable]), pytest.param("js", NODE, marks=needs("node"))],
)


def run_example(
    server: Served, folder: Path, language: str, command: list[str], token: str
) -> subprocess.CompletedProcess[str]:
    example = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert example is not None
    program = folder / ("example.mjs" if language == "js" else "example.py")
    program.write_text(example[1])
    place = {"SWITCHYARD_SOCKET": f"ws://127.0.0.1:{server.port}/ws/chat", "SWITCHYARD_TOKEN": token}
    return subprocess.run(
        [*command, str(program)],
        env=os.environ | place,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@LANGUAGES
def test_an_example_prints_the_reply_or_the_reason_for_a_refusal(
    server: Served, cast: Cast, tmp_path: Path, language: str, command: list[str]
) -> None:
    run = run_example(server, tmp_path, language, command, cast.alice.token)
    assert (run.returncode, run.stderr) == (0, "")
    assert "Hello there." in run.stdout
    assert "stop" in run.stdout
    refused = run_example(server, tmp_path, language, command, "wrong")
    assert refused.returncode != 0
    assert "The token is invalid" in refused.stderr
