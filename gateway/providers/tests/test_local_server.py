"""The local model's server: a real reply, exact counts, and it ends with its parent."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings

from gateway.providers import local_server, weights

ROOT = Path(__file__).resolve().parents[3]
CONTEXT = 512
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello, 你好!"}]


def start(*arguments: str, weights_file: Path | None = None) -> subprocess.Popen[str]:
    file = weights_file or weights.fetch_weights(settings.MODELS_DIR)
    command = [sys.executable, "-m", "gateway.providers.local_server", "--weights", str(file), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    url: str = json.loads(process.stdout.readline())["url"]
    return url


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with start("--context", str(CONTEXT)) as process:
        # The server promises keep-alive but closes the connection after a streamed reply.
        no_reuse = {"connection": "close"}
        url = url_of(process)
        with httpx.Client(base_url=url, headers=no_reuse, timeout=60, trust_env=False) as client:
            yield client
        process.communicate(timeout=20)


def ask(client: httpx.Client, **more: Any) -> httpx.Response:
    body = {"model": local_server.ALIAS, "messages": MESSAGES, "max_tokens": 8, **more}
    return client.post("/v1/chat/completions", json=body)


def test_it_listens_on_loopback_only(client: httpx.Client) -> None:
    assert client.base_url.host == "127.0.0.1"


def test_it_serves_the_model_by_its_alias(client: httpx.Client) -> None:
    (model,) = client.get("/v1/models").json()["data"]
    assert model["id"] == local_server.ALIAS
    assert model["meta"]["n_ctx"] == CONTEXT


def test_it_streams_a_real_reply_and_its_usage(client: httpx.Client) -> None:
    reply = ask(client, stream=True, stream_options={"include_usage": True})
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    words = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    assert "".join(word for word in words if word).strip()
    assert chunks[-1]["choices"] == []
    assert 0 < chunks[-1]["usage"]["completion_tokens"] <= 8


def test_a_prompt_can_be_counted_exactly_before_it_is_sent(client: httpx.Client) -> None:
    prompt = client.post("/apply-template", json={"messages": MESSAGES}).json()["prompt"]
    tokens = client.post("/tokenize", json={"content": prompt}).json()["tokens"]
    assert len(tokens) == ask(client).json()["usage"]["prompt_tokens"]


def test_a_prompt_that_is_too_long_is_refused_with_its_size(client: httpx.Client) -> None:
    reply = ask(client, messages=[{"role": "user", "content": "hello " * CONTEXT}])
    error = reply.json()["error"]
    assert reply.status_code == 400
    assert error["type"] == "exceed_context_size_error"
    assert error["n_prompt_tokens"] > error["n_ctx"] == CONTEXT


def test_it_ends_when_its_standard_input_closes() -> None:
    process = start("--context", "256")
    url_of(process)
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.slow
def test_it_ends_when_its_parent_is_killed() -> None:
    """The parent holds the pipe; a kill -9 closes it, and with it the server's output."""
    file = weights.fetch_weights(settings.MODELS_DIR)
    code = (
        "import subprocess, sys\n"
        "command = [sys.executable, '-m', 'gateway.providers.local_server', '--weights', sys.argv[1]]\n"
        "subprocess.Popen(command, stdin=subprocess.PIPE).wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    url = url_of(parent)
    parent.kill()
    assert parent.stdout
    assert parent.stdout.read() == ""  # returns once the last holder of the pipe, the server, has ended
    parent.wait(timeout=20)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health", trust_env=False)


def test_missing_or_damaged_weights_are_reported(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    with start(weights_file=damaged) as process:
        _, errors = process.communicate(timeout=20)
    assert "There are no weights" in errors
    damaged.write_text("not a model")
    with start(weights_file=damaged) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "does not start" in errors
