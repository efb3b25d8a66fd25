"""Run as a separate process by the crash tests: serves Switchyard and writes its port to a pipe."""

import os
import sys

from config.asgi import application
from gateway.tests.served import Served

if __name__ == "__main__":
    with Served(application, lifespan="on") as server:
        os.write(int(sys.argv[1]), f"{server.port}\n".encode())
        os.close(int(sys.argv[1]))
        server.thread.join()
