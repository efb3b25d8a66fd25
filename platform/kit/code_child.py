"""Highlights code; runs as a script in a child process, because a lexer's time can be quadratic.

Reads frames from stdin: four bytes of length, then JSON `[language, code]`. Answers each with four bytes of
CPU milliseconds, four bytes of length, and HTML. A block that exceeds its CPU time ends the process. It
imports none of our code.
"""

import json
import resource
import signal
import struct
import sys
import time
from typing import BinaryIO

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

MEMORY_BYTES = 400_000_000  # of address space


def main(cpu_seconds: float, source: BinaryIO, sink: BinaryIO) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    formatter = HtmlFormatter(nowrap=True)
    while head := source.read(4):
        language, code = json.loads(source.read(struct.unpack(">I", head)[0]))
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # its signal ends the process
        begun = time.process_time()
        html = highlight(code, get_lexer_by_name(language, stripnl=False), formatter).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        spent = int((time.process_time() - begun) * 1000)
        sink.write(struct.pack(">II", spent, len(html)) + html)
        sink.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
