"""Tests that need a program which a machine may lack: skipped with the reason, unless all is required."""

import os
import shutil

import pytest


def needs(program: str) -> pytest.MarkDecorator:
    """`REQUIRE_ALL=1`, as CI sets it, turns a missing program into a failure."""
    missing = shutil.which(program) is None and not os.environ.get("REQUIRE_ALL")
    return pytest.mark.skipif(missing, reason=f"there is no {program} on this machine")
