"""LiteLLM's proxy from the registry in a process, with a model for each run."""

import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from kit.tests.ports import free_port
from tests.cases.product import KEY
from tests.cases.runs import Run
from tests.cases.stage import Stage

FOLDER = Path(__file__).resolve().parents[2] / ".data" / "peers" / "litellm"
START_SECONDS = 180
MASTER_KEY = f"sk-{secrets.token_hex(32)}"  # LiteLLM refuses to start with a weak one


@dataclass(frozen=True)
class PeerLane:
    """The part of a Lane that a run on LiteLLM uses."""

    slug: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {MASTER_KEY}"}


def version() -> str:
    code = "import importlib.metadata as m; print(m.version('litellm'))"
    found = subprocess.run(
        [FOLDER / "bin" / "python", "-c", code], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


@contextmanager
def served_litellm(stage: Stage, runs: Sequence[Run]) -> Iterator[str]:
    """Runs LiteLLM with default settings and yields its base URL."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"  # JSON is YAML
        config.write_text(json.dumps({"model_list": [_model(stage, run) for run in runs]}))
        process = subprocess.Popen(
            [FOLDER / "bin" / "litellm", "--config", config, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **_clean_environment(),
                "LITELLM_MASTER_KEY": MASTER_KEY,
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_up(process, url)
            yield url
        finally:
            process.kill()
            process.wait()


def _clean_environment() -> dict[str, str]:
    """Leaves out our own settings, such as DATABASE_URL, which LiteLLM would read too."""
    allowed = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: value for name, value in os.environ.items() if name in allowed}


def _model(stage: Stage, run: Run) -> dict[str, object]:
    base = f"http://127.0.0.1:{stage.port}/{run.script}"
    if run.case.is_anthropic:
        params = {"model": "anthropic/upstream-1", "api_base": base}
    else:
        params = {"model": "openai/upstream-1", "api_base": f"{base}/v1"}
    return {"model_name": run.model, "litellm_params": {**params, "api_key": KEY}}


def _wait_until_up(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "LiteLLM did not start"
        try:
            if httpx.get(f"{url}/health/liveliness", timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise AssertionError("LiteLLM did not start in time")
