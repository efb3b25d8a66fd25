"""The command `llm` with models of its configuration file, over chat completions and Responses."""

import base64
import json
import subprocess
import sys
from pathlib import Path

from checks import BASE_URL, KEY, SPENT_KEY, check, contains, equal, requests_for, run
from conversation import GREETING, LONG_TEXT, ONE_IMAGE, PARAMETERS, PIXEL, QUESTION, WEATHER

LLM = str(Path(sys.executable).with_name("llm"))
FOLDER = Path.cwd() / "llm"
FUNCTION = "def get_weather(city: str) -> str:\n    'Returns the temperature in a city.'\n    return '21'\n"
MODELS = ["gpt-4.1", "claude-sonnet-4-6", "gpt-9", "overflow", "busy", "busy-once"]


def configure() -> None:
    entries = [
        {
            "model_id": f"{api}-{model}",
            "model_name": model,
            "api_base": BASE_URL,
            "api_key_name": "switchyard",
            "supports_tools": True,
            "supports_schema": True,
            "vision": True,
            "responses": api == "responses",
        }
        for api in ("chat", "responses")
        for model in MODELS
    ]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "extra-openai-models.yaml").write_text(json.dumps(entries))  # JSON is YAML
    (FOLDER / "keys.json").write_text(json.dumps({"switchyard": KEY}))
    (FOLDER / "pixel.png").write_bytes(base64.b64decode(PIXEL))


def llm(model: str, prompt: str, *options: str, fails: bool = False) -> str:
    """Returns what it prints, or its error if it `fails`."""
    done = subprocess.run(
        [LLM, "prompt", "--no-log", "-m", model, *options, prompt],
        capture_output=True,
        text=True,
        timeout=100,
        env={"HOME": str(FOLDER), "LLM_USER_PATH": str(FOLDER), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert (done.returncode != 0) is fails, f"exit {done.returncode}: {done.stdout}{done.stderr}"
    return done.stderr.strip() if fails else done.stdout.strip()


def _uses_tools(api: str) -> None:
    for model in ("gpt-4.1", "claude-sonnet-4-6"):
        equal(llm(f"{api}-{model}", QUESTION, "--functions", FUNCTION), WEATHER)


def _structures(api: str) -> None:
    equal(json.loads(llm(f"{api}-gpt-4.1", QUESTION, "--schema", json.dumps(PARAMETERS))), {"city": "Paris"})


def _retries(api: str) -> None:
    equal(llm(f"{api}-busy-once", "Hello"), GREETING)
    equal(len(requests_for("busy-once")), 2)


def _stops_at_the_budget(api: str) -> None:
    contains(llm(f"{api}-gpt-4.1", "Hello", "--key", SPENT_KEY, fails=True), "budget")
    equal(requests_for("gpt-4.1"), [])


@check("chat whole")
def _() -> None:
    equal(llm("chat-gpt-4.1", "Hello", "--no-stream"), GREETING)


@check("chat stream")
def _() -> None:
    equal(llm("chat-gpt-4.1", "Hello", "-s", "Be brief."), GREETING)


check("chat tools", lambda: _uses_tools("chat"))
check("chat structured output", lambda: _structures("chat"))


@check("chat images")
def _() -> None:
    equal(llm("chat-gpt-4.1", "How many?", "-a", str(FOLDER / "pixel.png")), ONE_IMAGE)


@check("chat context overflow")
def _() -> None:
    contains(llm("chat-overflow", LONG_TEXT, fails=True), "maximum context length")


@check("chat unknown model")
def _() -> None:
    contains(llm("chat-gpt-9", "Hello", fails=True), "gpt-9")


@check("chat rate limit")
def _() -> None:
    contains(llm("chat-busy", "Hello", fails=True), "429")


check("chat retry", lambda: _retries("chat"))
check("chat spent budget", lambda: _stops_at_the_budget("chat"))


@check("responses whole")
def _() -> None:
    equal(llm("responses-gpt-4.1", "Hello", "--no-stream"), GREETING)


@check("responses stream")
def _() -> None:
    equal(llm("responses-gpt-4.1", "Hello", "-s", "Be brief."), GREETING)


check("responses tools", lambda: _uses_tools("responses"))
check("responses structured output", lambda: _structures("responses"))


@check("responses unknown model")
def _() -> None:
    contains(llm("responses-gpt-9", "Hello", fails=True), "gpt-9")


check("responses retry", lambda: _retries("responses"))
check("responses spent budget", lambda: _stops_at_the_budget("responses"))


configure()
run()
