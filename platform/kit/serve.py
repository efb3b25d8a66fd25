"""Runs uvicorn's command line, with a parent of several workers that stops listening when it is stopped.

`python -m kit.serve APPLICATION [OPTIONS]`, with uvicorn's own options.
"""

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

_terminate_all = Multiprocess.terminate_all


def terminate_all(self: Multiprocess) -> None:
    """Closes the parent's copies of the listening sockets before its workers finish their turns.

    Otherwise new clients would connect and wait for an answer that no process is going to give.
    """
    for sock in self.sockets:
        sock.close()
    _terminate_all(self)


if __name__ == "__main__":
    Multiprocess.terminate_all = terminate_all  # type: ignore[method-assign]
    uvicorn.main()
