"""The process that serves the local model: llama.cpp's own OpenAI-compatible server, on loopback only.

Run as a child: `python -m gateway.providers.local_server --weights FILE [--port N] [--context TOKENS]`.
It prints one line of JSON, `{"url": "http://127.0.0.1:PORT"}`, when it is ready, and ends when its
standard input closes, so it also ends when its parent is killed.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import xllamacpp

ALIAS = "smollm2-135m"
SLOTS = 4  # concurrent replies; further requests wait in llama.cpp's queue
MOST_THREADS = 4
PROMPT_CACHE_MIB = 128  # the default of 8 GB is more than many machines have


def start_server(weights: Path, *, port: int, context: int) -> xllamacpp.Server:
    """Loads the weights (about a second) and serves them; each slot has `context` tokens."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = min(os.cpu_count() or 1, MOST_THREADS)
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.endpoint_slots = False  # it would show other people's prompts
    params.ui = False
    params.verbosity = 0
    return xllamacpp.Server(params)


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    if not options.weights.is_file():
        print(f"There are no weights at {options.weights}.", file=sys.stderr)
        return 1
    try:
        server = start_server(options.weights, port=options.port, context=options.context)
    except RuntimeError as exc:
        # llama.cpp does not say which of the two it was.
        hint = f"is port {options.port} taken, or {options.weights} damaged?"
        print(f"The local model does not start ({hint}): {exc}", file=sys.stderr)
        return 1
    print(json.dumps({"url": server.listening_address}), flush=True)
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)  # a normal exit would wait for running replies


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway.providers.local_server")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--context", type=int, default=4096, help="tokens a reply may see, for each slot")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
