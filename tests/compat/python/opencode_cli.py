"""The coding agent opencode over chat completions, with `@ai-sdk/openai-compatible`.

A spent budget is not tried: opencode retries every 429 forever, from any provider.
"""

import json
import os
from pathlib import Path
from typing import Any

from checks import BASE_URL, KEY, check, contains, equal, run
from conversation import CLAUDE, GREETING, MODEL, WEATHER, order
from events import FOLDER, events_of

OPENCODE = str(Path(os.environ["NODE_FOLDER"]) / "node_modules" / "opencode-linux-x64" / "bin" / "opencode")
MODELS = [MODEL, CLAUDE, "gpt-9"]
NO_DOWNLOADS = {
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
        "small_model": f"switchyard/{MODEL}",
        "enabled_providers": ["switchyard"],
        "provider": {"switchyard": provider},
    }
    (FOLDER / "opencode.json").write_text(json.dumps(configuration))


def opencode(prompt: str, model: str = MODEL) -> list[dict[str, Any]]:
    """The events of one `opencode run`."""
    command = [OPENCODE, "run", "--format", "json", "--model", f"switchyard/{model}", prompt]
    return events_of(command, **NO_DOWNLOADS)


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
    equal(last_text(opencode("Hello", CLAUDE)), GREETING)


@check("chat tools")
def _() -> None:
    made = FOLDER / "made.txt"
    wanted = {"command": f"echo made-by-opencode > {made}", "description": "Writes a file"}
    equal(last_text(opencode(order(("bash", wanted)))), WEATHER)
    equal(made.read_text().strip(), "made-by-opencode")


@check("chat unknown model")
def _() -> None:
    error = failure(opencode("Hello", "gpt-9"))
    equal((error["statusCode"], error["isRetryable"]), (404, False))
    contains(error["responseBody"], "model_not_found")


FOLDER.mkdir()
configure(KEY)
run()
