"""opencode, the coding agent, over chat completions with `@ai-sdk/openai-compatible`.

A spent budget is not tried: opencode repeats every 429 without end, whoever answers it.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from checks import (
    BASE_URL,
    GREETING,
    KEY,
    WEATHER,
    check,
    contains,
    equal,
    order,
    run,
)

OPENCODE = str(Path(os.environ["NODE_FOLDER"]) / "node_modules" / "opencode-linux-x64" / "bin" / "opencode")
WORK = Path.cwd() / "work"
MODELS = ["gpt-4.1", "claude-sonnet-4-6", "gpt-9"]
NOTHING_FROM_ELSEWHERE = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
}


def configure(key: str) -> None:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Switchyard",
        "options": {"baseURL": BASE_URL, "apiKey": key},
        "models": {name: {"name": name, "limit": {"context": 100_000, "output": 8_000}} for name in MODELS},
    }
    configuration = {
        "autoupdate": False,
        "share": "disabled",
        "small_model": "switchyard/gpt-4.1",
        "enabled_providers": ["switchyard"],
        "provider": {"switchyard": provider},
    }
    (WORK / "opencode.json").write_text(json.dumps(configuration))


def opencode(prompt: str, model: str = "gpt-4.1") -> list[dict[str, Any]]:
    """The events of one `opencode run`."""
    done = subprocess.run(
        [OPENCODE, "run", "--format", "json", "--model", f"switchyard/{model}", prompt],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        cwd=WORK,
        env={**os.environ, **NOTHING_FROM_ELSEWHERE},
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert events, f"exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return events


def last_text(events: list[dict[str, Any]]) -> str:
    texts = [event["part"]["text"] for event in events if event["type"] == "text"]
    assert texts, events
    return str(texts[-1])


def failure(events: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [event["error"]["data"] for event in events if event["type"] == "error"]
    assert errors, events
    return dict(errors[-1])


@check("chat stream")
def _() -> None:
    equal(last_text(opencode("Hello", "claude-sonnet-4-6")), GREETING)


@check("chat tools")
def _() -> None:
    made = WORK / "made.txt"
    wanted = {"command": f"echo made-by-opencode > {made}", "description": "Writes a file"}
    equal(last_text(opencode(order(("bash", wanted)))), WEATHER)
    equal(made.read_text().strip(), "made-by-opencode")


@check("chat unknown model")
def _() -> None:
    error = failure(opencode("Hello", "gpt-9"))
    equal((error["statusCode"], error["isRetryable"]), (404, False))
    contains(error["responseBody"], "model_not_found")


WORK.mkdir()
configure(KEY)
run()
