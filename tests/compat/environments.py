"""The clients' virtual environment and Node folder in `.data/compat/`, installed once per set of pins.

REQUIRE_ALL=1, as CI sets it, turns missing tools or registries into failures.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = ROOT / ".data" / "compat"
REQUIREMENTS = HERE / "python" / "requirements.txt"
PACKAGES = (HERE / "node" / "package.json", HERE / "node" / "package-lock.json")
PIP = ["pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary", ":all:"]
NPM = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
INSTALL_SECONDS = 900
DONE = ".installed"


@dataclass(frozen=True)
class Environments:
    python: Path  # the interpreter with the pinned client packages
    node: Path  # a folder with the drivers, and the pinned packages in its `node_modules`


def install() -> Environments:
    """Installs both concurrently; skips the tests if that is impossible."""
    with ThreadPoolExecutor() as pool:
        python, node = pool.submit(_install_python), pool.submit(_install_node)
        return Environments(python.result(), node.result())


def _install_python() -> Path:
    folder = DATA / f"python-{_digest(REQUIREMENTS)}"
    python = folder / "bin" / "python"
    venv = [sys.executable, "-m", "venv", str(folder)]
    _install_once(folder, venv, [str(python), "-m", *PIP, "-r", str(REQUIREMENTS)])
    return python


def _install_node() -> Path:
    if shutil.which("npm") is None:
        _unavailable("npm is not installed")
    folder = DATA / f"node-{_digest(*PACKAGES)}"
    folder.mkdir(parents=True, exist_ok=True)
    for source in (*PACKAGES, *(HERE / "node").glob("*.mjs")):
        shutil.copy(source, folder)
    _install_once(folder, [*NPM, "--prefix", str(folder)])
    return folder


def _digest(*files: Path) -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return sha256(b"".join([version.encode(), *(file.read_bytes() for file in files)])).hexdigest()[:12]


def _install_once(folder: Path, *commands: list[str]) -> None:
    stamp = folder / DONE
    if stamp.exists():
        return
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        if done.returncode != 0:
            _unavailable(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout)[-2000:]}")
    stamp.touch()
    _remove_older(folder)


def _remove_older(folder: Path) -> None:
    kind = folder.name.partition("-")[0]
    for other in DATA.glob(f"{kind}-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _unavailable(reason: str) -> None:
    text = f"The clients cannot be installed: {reason}"
    if os.environ.get("REQUIRE_ALL"):
        pytest.fail(text, pytrace=False)
    pytest.skip(text)
