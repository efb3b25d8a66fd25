"""OpenAI's codex, the coding agent, over Responses (the only protocol that it speaks)."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from checks import BASE_URL, GREETING, KEY, LONG_TEXT, SPENT_KEY, WEATHER, check, contains, equal, order, run

CODEX = str(Path(os.environ["NODE_FOLDER"]) / "node_modules" / "@openai" / "codex" / "bin" / "codex.js")
HOME = Path.cwd() / "codex"
WORK = Path.cwd() / "work"
CONFIGURATION = f"""
model_provider = "switchyard"
approval_policy = "never"
sandbox_mode = "danger-full-access"

[model_providers.switchyard]
name = "Switchyard"
base_url = "{BASE_URL}"
env_key = "SWITCHYARD_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


def codex(prompt: str, model: str = "gpt-4.1", *, key: str = KEY) -> list[dict[str, Any]]:
    """The events of one `codex exec`."""
    done = subprocess.run(
        ["node", CODEX, "exec", "--skip-git-repo-check", "--json", "-m", model, "-C", str(WORK), "-"],
        input=prompt,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "CODEX_HOME": str(HOME), "SWITCHYARD_KEY": key},
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert events, f"exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return events


def last_message(events: list[dict[str, Any]]) -> str:
    texts = [e["item"]["text"] for e in events if e.get("item", {}).get("type") == "agent_message"]
    assert texts, events
    return str(texts[-1])


def failure(events: list[dict[str, Any]]) -> str:
    equal(events[-1]["type"], "turn.failed")
    return str(events[-1]["error"]["message"])


@check("responses stream")
def _() -> None:
    events = codex("Hello")
    equal(last_message(events), GREETING)
    equal(events[-1]["type"], "turn.completed")
    assert events[-1]["usage"]["input_tokens"] > 0, events[-1]


@check("responses tools")
def _() -> None:
    for model in ("gpt-4.1", "claude-sonnet-4-6"):
        made = WORK / f"{model}.txt"
        command = f"echo made-by-codex > {made}"
        events = codex(
            order(
                ("exec_command", {"cmd": command}),
                ("shell_command", {"command": command}),
                ("shell", {"command": ["bash", "-c", command]}),
            ),
            model,
        )
        equal(last_message(events), WEATHER)  # what the scripted model says to any result
        equal(made.read_text().strip(), "made-by-codex")


@check("responses unknown model")
def _() -> None:
    contains(failure(codex("Hello", "gpt-9")), "gpt-9")


@check("responses context overflow")
def _() -> None:
    contains(failure(codex(LONG_TEXT, "overflow")), "context window")


@check("responses rate limit")
def _() -> None:
    contains(failure(codex("Hello", "busy")), "429")


@check("responses spent budget")
def _() -> None:
    contains(failure(codex("Hello", key=SPENT_KEY)), "quota")


HOME.mkdir()
WORK.mkdir()
(HOME / "config.toml").write_text(CONFIGURATION)
run()
