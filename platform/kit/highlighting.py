"""Colours code: each block once, by its hash, in a child process that a block can use for a moment only."""

import atexit
import json
import os
import select
import struct
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock

from django.utils.html import escape

from kit.bounded_cache import BoundedCache

CHILD = Path(__file__).with_name("code_child.py")
LONGEST_BLOCK = 20_000  # characters; a longer one is shown plainly
LONGEST_ANSWER = 4_000_000  # bytes of HTML
CPU_SECONDS = 0.3  # of one block
WALL_SECONDS = 3.0  # on a machine that has other things to do
WAIT_SECONDS = 1.0  # for another's block
WAITING = 10  # seconds of waiting weigh as one of CPU
NAMES = """
apache apacheconf awk bash bat c c# c++ clojure cmake console cpp cs csharp css dart diff docker
dockerfile elixir erlang f# fsharp go golang graphql groovy haskell hcl hs html http ini java javascript
jinja js json json5 jsx julia kotlin latex less lua make makefile markdown md mysql nginx nix objc
objective-c ocaml perl php postgres postgresql powershell properties proto protobuf ps1 psql py pycon
python python3 r rb rs ruby rust sass scala scss sh shell shell-session sql swift terraform tex tf toml
ts tsx typescript udiff vb.net vim xml yaml zig zsh
"""
# What people write and Pygments calls otherwise.
ALIASES = {"yml": "yaml", "svg": "xml", "cmd": "batch", "patch": "diff", "jsonc": "json"}
LANGUAGES = frozenset(NAMES.split()) | ALIASES.keys()
_colours = BoundedCache(most_characters=20_000_000)


class Budget:
    """What may be spent on one reply, or on one page; what goes beyond is shown plainly."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.was_short = self.was_busy = (
            False  # whether anything is plain for want of time, or for others' blocks
        )

    def is_spent(self) -> bool:
        self.was_short = self.was_short or self.left <= 0
        return self.left <= 0


def coloured(code: str, language: str, budget: Budget) -> str:
    """The code as safe HTML: with colours where the language is known and it is done in time."""
    name = ALIASES.get(language.lower(), language.lower())
    if name not in LANGUAGES or len(code) > LONGEST_BLOCK:
        return escape(code)
    key = sha256(f"{name}\0{code}".encode("utf-8", "replace")).digest()
    known = _colours.get(key)
    if known is not None:
        return known
    if budget.is_spent():
        return escape(code)
    begun = time.monotonic()
    html, spent = _child.colour(name, code)
    budget.left -= max(spent, (time.monotonic() - begun) / WAITING)
    if html is None:  # at the next view perhaps
        budget.was_busy = True
        return escape(code)
    _colours.put(key, html)
    return html


class _Child:
    """The process, started when it is first needed, and again after a block that it did not survive."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def colour(self, language: str, code: str) -> tuple[str | None, float]:
        """The HTML, plain for what takes too long, and seconds of CPU; None where others keep it busy."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            return None, 0.0
        try:
            return self._answer(self._running(), language, code)
        except (OSError, EOFError, TimeoutError):
            self._end()
            return escape(code), CPU_SECONDS
        except BaseException:  # an answer that was not read must not be taken for the next block's
            self._end()
            raise
        finally:
            self._lock.release()

    def end(self) -> None:
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", str(CHILD), str(CPU_SECONDS)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"LC_ALL": "C.UTF-8"},
                cwd="/",
                bufsize=0,
                start_new_session=True,
            )
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], language: str, code: str) -> tuple[str, float]:
        if process.stdin is None or process.stdout is None:
            raise EOFError
        frame = json.dumps([language, code]).encode()
        process.stdin.write(struct.pack(">I", len(frame)) + frame)
        deadline = time.monotonic() + WALL_SECONDS
        source = process.stdout.fileno()
        spent, length = struct.unpack(">II", _read(source, 8, deadline))
        if length > LONGEST_ANSWER:
            raise EOFError
        return _read(source, length, deadline).decode(), spent / 1000

    def _end(self) -> None:
        if self._process is None:
            return
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process = None


def _read(source: int, length: int, deadline: float) -> bytes:
    read = bytearray()
    waiting = select.poll()  # select() fails in a process with more than a thousand connections
    waiting.register(source, select.POLLIN)
    while len(read) < length:
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        piece = os.read(source, length - len(read))
        if not piece:
            raise EOFError
        read += piece
    return bytes(read)


_child = _Child()
atexit.register(_child.end)
