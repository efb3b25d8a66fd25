"""An egress in a separate process on the test's database, which tests can kill."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from django.db import connection

from gateway.tests.conformance.engines import SECRET
from gateway.tests.wait import wait_until

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def egress_process(provider_url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    database = connection.settings_dict
    command = [sys.executable, "-m", "uvicorn", "config.egress:application", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--lifespan", "on", "--log-level", "critical"],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}",
            "LOCAL_MODEL_URL": provider_url,
            "EGRESS_SECRETS": SECRET,
        },
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}"), 30)
        yield process
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).is_success
    except httpx.HTTPError:
        return False
