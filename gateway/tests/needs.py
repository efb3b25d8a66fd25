"""Skips tests if a program is missing, with the reason, unless all programs are required."""

import os
import shutil

import pytest

SYSTEM = "/usr/local/sbin:/usr/sbin"  # contains servers, but is not in everyone's PATH


def find_program(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=SYSTEM)


def needs(program: str) -> pytest.MarkDecorator:
    """`REQUIRE_ALL=1`, as CI sets it, turns a missing program into a failure."""
    missing = find_program(program) is None and not os.environ.get("REQUIRE_ALL")
    return pytest.mark.skipif(missing, reason=f"there is no {program} on this machine")
