"""Schemathesis fuzzes every documented route: no server errors, only documented responses."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.tests.served import Served

pytestmark = pytest.mark.slow

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CHECKS = (
    "not_a_server_error,content_type_conformance,response_headers_conformance,"
    "status_code_conformance,response_schema_conformance"
)

# A 502 means that an MCP server or provider from the input does not respond, which is not our fault.
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "502"]
"""


@pytest.mark.parametrize("name", ["alice", None])
def test_no_input_causes_a_server_error_or_an_undocumented_response(
    server: Served, cast: Cast, name: str | None, tmp_path: Path, settings: Any
) -> None:
    """As a member, and signed out. Without the sign-out route, which would end the member's session."""
    settings.REQUESTS_PER_MINUTE = 10**9
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    signed_in = ["--header", f"Authorization: Bearer {cast.alice.token}"] if name else []
    run = subprocess.run(
        [
            SCHEMATHESIS,
            *("run", f"{server.url}/v1/schema", "--no-color"),
            *("--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-examples", "30"),
            *("--exclude-path-regex", "signup", "--generation-deterministic", "--request-timeout", "60"),
            *signed_in,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:]
