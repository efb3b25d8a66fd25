"""Runs uvicorn; with several workers, the parent stops listening as soon as a stop begins.

`python -m kit.serve APPLICATION [OPTIONS]`, with uvicorn's options.
"""

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

_terminate_all = Multiprocess.terminate_all


def terminate_all(self: Multiprocess) -> None:
    """Closes the parent's copies of the listening sockets before its workers finish their turns.

    Otherwise new clients could connect and would never get a response.
    """
    for sock in self.sockets:
        sock.close()
    _terminate_all(self)


if __name__ == "__main__":
    Multiprocess.terminate_all = terminate_all  # type: ignore[method-assign]
    uvicorn.main()
