"""The folder layout, and `.env.example`, which lists exactly the variables that are read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
READ_IN = [
    ROOT / "platform/config/settings.py",
    ROOT / "platform/devserver/up.py",
    ROOT / "Makefile",
]
READS = [
    re.compile(r'\benv\.(?:text|boolean|integer|listing|choice|objects)\(\s*"([A-Z][A-Z0-9_]*)"'),
    re.compile(r'os\.environ(?:\.get\(|\[)\s*"([A-Z][A-Z0-9_]*)"'),
    re.compile(r"^([A-Z][A-Z0-9_]*) \?=", re.MULTILINE),
]
ARGUMENTS_OF_MAKE = {"ARGS"}


def variables_read() -> set[str]:
    text = "\n".join(path.read_text() for path in READ_IN)
    return {name for pattern in READS for name in pattern.findall(text)} - ARGUMENTS_OF_MAKE


def test_platform_is_not_a_package() -> None:
    """Such a package would hide Python's `platform` under manage.py, while pytest stays green."""
    assert not (ROOT / "platform" / "__init__.py").exists()


@pytest.mark.slow
def test_pythons_own_platform_module_works_under_manage_py() -> None:
    code = "import platform; print('version', platform.python_version())"
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "shell", "--verbosity", "0", "--command", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert f"version {sys.version.split()[0]}" in done.stdout


@pytest.mark.parametrize(
    "module", ["devserver.up", "gateway.providers.weights", "devserver.embedded_postgres"]
)
def test_what_runs_before_django_imports_no_settings(module: str) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    code = f"import sys, {module}; sys.exit('config.settings' in sys.modules or 'django.conf' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, timeout=60, check=False
    )
    assert done.returncode == 0


def test_env_example_lists_exactly_the_variables_that_are_read() -> None:
    listed = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(variables_read())


def test_env_example_explains_every_variable() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"#?[A-Z][A-Z0-9_]*=", line):
            assert lines[number - 1].startswith("# "), f"{line} has no comment above it"
