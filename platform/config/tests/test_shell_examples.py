"""The README's commands run in zsh, the shell of every Mac, as in bash: no unquoted wildcard, no comment.

zsh refuses a word with `?`, `*` or `[` that matches no file, and takes `#` in a pasted line as a word.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.tests.needs import needs

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "docs" / "api.md", ROOT / "docs" / "websocket.md"]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
WILDCARDS = set("?*[]^")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    yield from BLOCK.findall(page.read_text())


def unquoted(text: str) -> str:
    """The text outside quotes, where a shell looks for wildcards; a blank stands for each quoted part."""
    outside, at = "", 0
    while at < len(text):
        if text[at] == "'":
            at, outside = text.index("'", at + 1), outside + " "
        elif text[at] == '"':
            quoted = QUOTED.match(text, at)
            assert quoted, f"a quote is not closed: {text}"
            at, outside = quoted.end() - 1, outside + " "
        elif text[at] == "\\":
            at += 1
        else:
            outside += text[at]
        at += 1
    return outside


def problems(command: str) -> list[str]:
    words = unquoted(command).split()
    return [word for word in words if WILDCARDS & set(word) or word.startswith(("#", "="))]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("curl http://x/v1/conversations?workspace=sales", ["http://x/v1/conversations?workspace=sales"]),
        ('curl \'http://x/?a=b\' -H "A: ?*[\\""', []),
        ('curl -d \'{"mcps": ["a"]}\' # sends', ["#"]),
        ("T=$(curl -d '[?]' | python3 -c 'x[\"a\"]') ls *.png \\*", ["*.png"]),
    ],
)
def test_unquoted_wildcards_are_found(command: str, expected: list[str]) -> None:
    assert problems(command) == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_has_an_unquoted_wildcard_or_a_comment(page: Path) -> None:
    blocks = list(commands(page))
    assert page.name != "README.md" or len(blocks) > 5
    assert [problem for block in blocks for problem in problems(block)] == []


@needs("zsh")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_zsh_reads_each_command(page: Path) -> None:
    """The programs are replaced by functions that do nothing; their arguments are expanded for real."""
    programs = ["curl", "make", "docker", "python3"]
    for block in commands(page):
        stubs = "".join(f"{program}() {{ cat >/dev/null 2>&1 </dev/null }}\n" for program in programs)
        runnable = re.sub(r"\.venv/bin/python", "python3", block)
        run = subprocess.run(
            ["zsh", "-f", "-c", stubs + runnable], capture_output=True, text=True, check=False
        )
        assert (run.returncode, run.stderr) == (0, ""), block
