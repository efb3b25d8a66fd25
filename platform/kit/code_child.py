"""Colours code, run as a script in a child process: a lexer may take the square of what it reads.

Reads frames from stdin, each four bytes of length and JSON `[language, code]`. Answers each with four bytes
of milliseconds of CPU, four of length, and HTML. A block that takes longer than its CPU time ends the
process. It imports nothing of ours.
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

MEMORY_BYTES = 400_000_000  # of addresses


def main(cpu_seconds: float, given: BinaryIO, told: BinaryIO) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    formatter = HtmlFormatter(nowrap=True)
    while head := given.read(4):
        language, code = json.loads(given.read(struct.unpack(">I", head)[0]))
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # its signal ends the process
        begun = time.process_time()
        html = highlight(code, get_lexer_by_name(language, stripnl=False), formatter).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        spent = int((time.process_time() - begun) * 1000)
        told.write(struct.pack(">II", spent, len(html)) + html)
        told.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
