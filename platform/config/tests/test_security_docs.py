"""docs/security.md names a test for every control, and each of these tests exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAMED = re.compile(r"`(test_[a-z0-9_]+)`")
DEFINED = re.compile(r"^\s*(?:async )?def (test_[a-z0-9_]+)", re.MULTILINE)


def rows() -> list[str]:
    """The body rows of the tables whose last column is the test."""
    found, in_table = [], False
    for line in (ROOT / "docs/security.md").read_text().splitlines():
        if not line.startswith("|"):
            in_table = False
        elif line.rstrip("| ").endswith(" test"):
            in_table = True
        elif in_table and not line.startswith("|---"):
            found.append(line)
    return found


def test_every_control_names_a_test_that_exists() -> None:
    defined = {
        name
        for path in ROOT.rglob("tests/**/test_*.py")
        if ".venv" not in path.parts
        for name in DEFINED.findall(path.read_text())
    }
    assert len(rows()) > 40
    for row in rows():
        named = NAMED.findall(row.split("|")[-2])
        assert named, f"no test is named in: {row}"
        assert set(named) <= defined, f"{set(named) - defined} is not defined anywhere"
