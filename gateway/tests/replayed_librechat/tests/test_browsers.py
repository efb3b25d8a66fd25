"""The replay accepts the same User-Agents as ua-parser-js, which LibreChat uses."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.engines.librechat.client import USER_AGENT
from gateway.tests.needs import needs
from gateway.tests.replayed_librechat.browsers import is_browser

PARSER = "ua-parser-js@1.0.37"  # the version that LibreChat uses
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15"
BROWSERS = [
    USER_AGENT,
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/141.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
    f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/141.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (Linux; Android 14) {WEBKIT} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
    f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/120.0.0.0 Safari/537.36 OPR/106.0.0.0",
    f"{MAC} Version/17.5 Safari/605.1.15",
    f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1",
    f"{IPHONE} FxiOS/128.0 Mobile/15E148 Safari/605.1",
    "Firefox/140.0",
]
OTHERS = [
    "",
    "Mozilla/5.0",
    "Mozilla/5.0 (X11; Linux x86_64)",
    "Mozilla/5.0 (X11; Linux x86_64) Switchyard",
    "Mozilla/5.0 (X11; Linux x86_64) Switchyard/1.0",
    "Mozilla/5.0 (X11; Linux x86_64) Firefox",
    "Mozilla/5.0 (compatible; Switchyard/1.0; +https://example.com)",
    "Switchyard/1.0",
    "python-httpx/0.28.1",
    "python-requests/2.32.0",
    "curl/8.5.0",
    "node",
    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
    "x" * 500 + " Firefox/140.0",
    "Go-http-client/1.1",
]


@pytest.mark.parametrize("user_agent", BROWSERS)
def test_a_browser_is_accepted(user_agent: str) -> None:
    assert is_browser(user_agent)


@pytest.mark.parametrize("user_agent", OTHERS)
def test_unknown_user_agents_are_refused(user_agent: str) -> None:
    assert not is_browser(user_agent)


@pytest.mark.slow
@needs("npm")
def test_the_package_itself_decides_like_the_replay(tmp_path: Path) -> None:
    """For every list, and for each browser's name without its version."""
    npm, node = shutil.which("npm"), shutil.which("node")
    assert npm, "npm is required"
    assert node, "node is required"
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path), PARSER]
    subprocess.run(install, check=True, timeout=300)
    asked = [*BROWSERS, *OTHERS, *(agent.replace("/", " ") for agent in BROWSERS)]
    script = (
        "const parse = require('ua-parser-js'); const asked = JSON.parse(require('fs').readFileSync(0));"
        "console.log(JSON.stringify(asked.map((agent) => Boolean(parse(agent).browser.name))))"
    )
    output = subprocess.run(
        [node, "-e", script],
        input=json.dumps(asked),
        text=True,
        capture_output=True,
        cwd=tmp_path,
        check=True,
    )
    decided = dict(zip(asked, json.loads(output.stdout), strict=True))
    assert [agent for agent in [*BROWSERS, *OTHERS] if decided[agent] != is_browser(agent)] == []
    assert [agent for agent in asked if is_browser(agent) and not decided[agent]] == []
