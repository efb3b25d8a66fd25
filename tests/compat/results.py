"""Runs a client's drivers and collects their reports."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.compat.environments import HERE, Environments
from tests.compat.installation import Installation

DRIVER_SECONDS = 500
COMMANDS_FROM_NPM = {"codex", "opencode"}  # driven by a Python script
DECLARATION = re.compile(r"""^@?check\(\s*["']([a-z][a-z -]+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Client:
    """A client by its makers' name, its pinned package, and its drivers, which all are Python or all Node."""

    name: str
    package: str
    drivers: tuple[str, ...]

    @property
    def runs_in_node(self) -> bool:
        return self.drivers[0].endswith(".mjs")

    @property
    def is_from_npm(self) -> bool:
        return self.runs_in_node or self.name in COMMANDS_FROM_NPM

    def source(self, driver: str) -> Path:
        return HERE / ("node" if self.runs_in_node else "python") / driver

    def checks_of(self, driver: str) -> list[str]:
        """The names of a driver's checks in order, read from its text, as it runs only with the client."""
        return DECLARATION.findall(self.source(driver).read_text())

    @property
    def checks(self) -> list[str]:
        return [check for driver in self.drivers for check in self.checks_of(driver)]

    @property
    def version(self) -> str:
        """The pinned version."""
        if self.is_from_npm:
            manifest = json.loads((HERE / "node" / "package.json").read_text())
            return str({**manifest["dependencies"], **manifest["optionalDependencies"]}[self.package])
        name = re.escape(self.package)
        found = re.search(
            rf"^{name}==(\S+)$", (HERE / "python" / "requirements.txt").read_text(), re.MULTILINE
        )
        assert found, f"{self.package} is not pinned"
        return found[1]


CLIENTS = [
    Client("openai (Python)", "openai", ("openai_python.py", "openai_python_responses.py")),
    Client("openai (Node)", "openai", ("openai_node.mjs",)),
    Client("anthropic (Python)", "anthropic", ("anthropic_python.py",)),
    Client("langchain-openai", "langchain-openai", ("langchain_openai_client.py",)),
    Client("openai-agents", "openai-agents", ("openai_agents.py",)),
    Client("pydantic-ai", "pydantic-ai-slim", ("pydantic_ai_client.py",)),
    Client("AI SDK", "ai", ("ai_sdk.mjs",)),
    Client("LiteLLM", "litellm", ("litellm_client.py",)),
    Client("llm", "llm", ("llm_cli.py",)),
    Client("codex", "@openai/codex", ("codex_cli.py",)),
    Client("opencode", "opencode-linux-x64", ("opencode_cli.py",)),
    Client("openapi-python-client", "openapi-python-client", ("openapi_python_client.py",)),
    Client("openapi-typescript", "openapi-typescript", ("openapi_typescript.mjs",)),
]


@dataclass(frozen=True)
class Outcome:
    ok: bool
    detail: str


def outcomes_of(
    client: Client, environments: Environments, installation: Installation, folder: Path
) -> dict[str, Outcome]:
    """The outcome of each check; one that was not reported failed with its driver's own output."""
    found: dict[str, Outcome] = {}
    for driver in client.drivers:
        home = folder / Path(driver).stem
        home.mkdir()
        found |= _outcomes_of_driver(client, driver, environments, installation, home)
    return found


def _outcomes_of_driver(
    client: Client, driver: str, environments: Environments, installation: Installation, folder: Path
) -> dict[str, Outcome]:
    printed, rest = folder / "stdout", folder / "stderr"
    with printed.open("w") as stdout, rest.open("w") as stderr:
        process = subprocess.Popen(
            _command(client, driver, environments),
            cwd=folder,
            env=_variables(environments, installation, folder),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        ending = _wait(process)
    lines = printed.read_text().splitlines()
    reports = [json.loads(line) for line in lines if line.startswith('{"check"')]
    found = {report["check"]: Outcome(report["ok"], report["detail"]) for report in reports}
    lost = Outcome(False, f"not reported: the driver {ending}\n{rest.read_text()[-3000:]}")
    return {check: found.get(check, lost) for check in client.checks_of(driver)}


def _wait(process: subprocess.Popen[bytes]) -> str:
    try:
        return f"ended with {process.wait(DRIVER_SECONDS)}"
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"did not end within {DRIVER_SECONDS} s"


def _command(client: Client, driver: str, environments: Environments) -> list[str]:
    if client.runs_in_node:
        return ["node", str(environments.node / driver)]
    return [str(environments.python), str(client.source(driver))]


def _variables(environments: Environments, installation: Installation, folder: Path) -> dict[str, str]:
    """A home of its own and nothing of ours: no key or setting of this machine reaches a client."""
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    own = {"HOME": str(folder), "NODE_FOLDER": str(environments.node)}
    return {**inherited, **own, **installation.environment}
