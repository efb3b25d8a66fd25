"""OpenAI's coding agent codex over Responses, the only protocol that it speaks."""

import os
from pathlib import Path
from typing import Any

from checks import BASE_URL, KEY, SPENT_KEY, check, contains, equal, run
from conversation import CLAUDE, GREETING, LONG_TEXT, MODEL, WEATHER, order
from events import FOLDER, events_of

CODEX = str(Path(os.environ["NODE_FOLDER"]) / "node_modules" / "@openai" / "codex" / "bin" / "codex.js")
HOME = Path.cwd() / "codex"
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


def codex(prompt: str, model: str = MODEL, *, key: str = KEY) -> list[dict[str, Any]]:
    """The events of one `codex exec`."""
    command = ["node", CODEX, "exec", "--skip-git-repo-check", "--json", "-m", model, "-C", str(FOLDER), "-"]
    return events_of(command, prompt=prompt, CODEX_HOME=str(HOME), SWITCHYARD_KEY=key)


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
    for model in (MODEL, CLAUDE):
        made = FOLDER / f"{model}.txt"
        command = f"echo made-by-codex > {made}"
        events = codex(
            order(
                ("exec_command", {"cmd": command}),
                ("shell_command", {"command": command}),
                ("shell", {"command": ["bash", "-c", command]}),
            ),
            model,
        )
        equal(last_message(events), WEATHER)  # the scripted model's reply to any result
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
FOLDER.mkdir()
(HOME / "config.toml").write_text(CONFIGURATION)
run()
