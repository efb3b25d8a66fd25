"""Highlights code in a child process with a time limit per block; caches each block by its hash."""

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
LONGEST_BLOCK = 20_000  # characters; longer blocks are not highlighted
LONGEST_ANSWER = 4_000_000  # bytes of HTML
CPU_SECONDS = 0.3  # per block
WALL_SECONDS = 3.0  # on a busy machine
WAIT_SECONDS = 1.0  # for the block of another thread
WAITING = 10  # seconds of waiting count as one second of CPU
NAMES = """
apache apacheconf awk bash bat c c# c++ clojure cmake console cpp cs csharp css dart diff docker
dockerfile elixir erlang f# fsharp go golang graphql groovy haskell hcl hs html http ini java javascript
jinja js json json5 jsx julia kotlin latex less lua make makefile markdown md mysql nginx nix objc
objective-c ocaml perl php postgres postgresql powershell properties proto protobuf ps1 psql py pycon
python python3 r rb rs ruby rust sass scala scss sh shell shell-session sql swift terraform tex tf toml
ts tsx typescript udiff vb.net vim xml yaml zig zsh
"""
# Common names that Pygments does not know.
ALIASES = {"yml": "yaml", "svg": "xml", "cmd": "batch", "patch": "diff", "jsonc": "json"}
LANGUAGES = frozenset(NAMES.split()) | ALIASES.keys()
_colours = BoundedCache(most_characters=20_000_000)


class Budget:
    """The time for one reply or page; code beyond it is not highlighted."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.was_short = self.was_busy = (
            False  # whether code stayed plain for lack of time, or because the child was busy
        )

    def is_spent(self) -> bool:
        self.was_short = self.was_short or self.left <= 0
        return self.left <= 0


def coloured(code: str, language: str, budget: Budget) -> str:
    """The code as safe HTML: highlighted if the language is known and there is time."""
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
    if html is None:  # may work at the next view
        budget.was_busy = True
        return escape(code)
    _colours.put(key, html)
    return html


class _Child:
    """The child process: started on first use, and restarted after a block that ended it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def colour(self, language: str, code: str) -> tuple[str | None, float]:
        """The HTML (plain if it takes too long) and CPU seconds; None if the child is busy."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            return None, 0.0
        try:
            return self._answer(self._running(), language, code)
        except (OSError, EOFError, TimeoutError):
            self._end()
            return escape(code), CPU_SECONDS
        except BaseException:  # an unread answer must not be taken for that of the next block
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
    waiting = select.poll()  # select() fails with more than 1,024 descriptors
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
