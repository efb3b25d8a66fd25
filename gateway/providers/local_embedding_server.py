"""The process that serves the built-in embedding model: all-MiniLM-L6-v2 on onnxruntime, on loopback only.

Run as a child: `python -m gateway.providers.local_embedding_server --models FOLDER [--port N]`. It prints one
line of JSON, `{"url": "http://127.0.0.1:PORT"}`, when it listens, and ends when its standard input closes, so
it also ends when its parent is killed. The model (about 230 MB of memory) is loaded by the first request.
"""

import argparse
import json
import os
import re
import sys
import threading
from base64 import b64encode
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

from gateway.providers.weights import EMBEDDING_VOCABULARY, EMBEDDING_WEIGHTS
from gateway.providers.wordpiece import WordPiece

LONGEST_INPUT = 512  # tokens: the model has no more positions
MOST_INPUTS = 64  # of one request
LARGEST_BODY = 8 * 1024 * 1024
LENGTH = re.compile("[0-9]{1,12}")
CONCURRENT = max(1, min((os.cpu_count() or 1) // 2, 4))  # inputs, each on one core; further ones wait


class Refused(ValueError):
    """The request is not valid."""


class TooLong(ValueError):
    """An input has more tokens than the model has positions."""


class MiniLM:
    """The loaded model; thread-safe."""

    def __init__(self, folder: Path) -> None:
        runtime = import_module("onnxruntime")  # only here: it takes 100 MB, and may be absent
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # which would hold on to a gigabyte
        self._session = runtime.InferenceSession(
            str(folder / EMBEDDING_WEIGHTS.name), options, providers=["CPUExecutionProvider"]
        )
        self._names = {one.name for one in self._session.get_inputs()}
        vocabulary = json.loads((folder / EMBEDDING_VOCABULARY.name).read_text())["model"]["vocab"]
        self._tokenizer = WordPiece(vocabulary)
        self._numpy = import_module("numpy")
        self._slots = threading.Semaphore(CONCURRENT)

    def embed(self, texts: Sequence[str], *, first: int = 0) -> tuple[list[bytes], int]:
        """A vector of 384 little-endian 32-bit floats per text, and the tokens of all. TooLong names a text
        by its place in the client's list, in which `first` is that of the first text."""
        ids = [self._tokenizer.ids(text) for text in texts]
        for at, one in enumerate(ids, start=first):
            if len(one) > LONGEST_INPUT:
                limit = f"The model takes at most {LONGEST_INPUT}. Split it into shorter passages."
                raise TooLong(f"Input {at} has {len(one)} tokens. {limit}")
        return [self._vector(one) for one in ids], sum(map(len, ids))

    def _vector(self, ids: list[int]) -> bytes:
        """One at a time: padded batches take longer and four times the memory."""
        numpy = self._numpy
        row = numpy.array([ids], dtype=numpy.int64)
        feeds = {"input_ids": row, "attention_mask": numpy.ones_like(row)}
        if "token_type_ids" in self._names:
            feeds["token_type_ids"] = numpy.zeros_like(row)
        with self._slots:
            (states,) = self._session.run(None, feeds)[:1]
        pooled = states[0].mean(axis=0)
        unit = pooled / max(float(numpy.linalg.norm(pooled)), 1e-12)
        return bytes(unit.astype("<f4").tobytes())


class LazyModel:
    """Loads the model once, when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._model: MiniLM | None = None

    def get(self) -> MiniLM:
        with self._lock:
            if self._model is None:
                self._model = MiniLM(self._folder)
            return self._model


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: LazyModel

    def do_GET(self) -> None:
        """Any GET is a health check."""
        self._send(HTTPStatus.OK, {"data": [], "status": "ok"})

    def do_POST(self) -> None:
        try:
            texts, first = _read(self.rfile.read(self._length()))
            vectors, tokens = self.model.get().embed(texts, first=first)
        except TooLong as exc:  # a 200, so that the gateway reads the text
            self._send(HTTPStatus.OK, {"too_long": str(exc)})
        except Refused as exc:
            self._send(HTTPStatus.BAD_REQUEST, {"error": {"message": str(exc)}})
        except Exception as exc:  # a missing package, or damaged weights
            print(f"The embedding model does not work: {exc}", flush=True)
            self._send(HTTPStatus.NOT_IMPLEMENTED, {"error": {"message": "The model cannot be loaded."}})
        else:
            data = [{"index": at, "embedding": b64encode(one).decode()} for at, one in enumerate(vectors)]
            usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            self._send(HTTPStatus.OK, {"object": "list", "data": data, "usage": usage})

    def _length(self) -> int:
        length = self.headers.get("Content-Length") or "0"
        if not LENGTH.fullmatch(length) or int(length) > LARGEST_BODY:
            self.close_connection = True  # the body is not read
            raise Refused("The body is too large, or its Content-Length is not valid.")
        return int(length)

    def _send(self, status: HTTPStatus, data: dict[str, Any]) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the gateway logs calls."""


def _read(body: bytes) -> tuple[list[str], int]:
    """The texts, and the place of the first in the client's list."""
    try:
        sent = json.loads(body)
        texts, first = sent["input"], int(sent.get("first") or 0)
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as exc:
        raise Refused("The body is not valid.") from exc
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused("Send a list of texts.")
    if not 0 < len(texts) <= MOST_INPUTS:
        raise Refused(f"Send 1 to {MOST_INPUTS} texts.")
    return texts, first


def serve(folder: Path, port: int) -> ThreadingHTTPServer:
    handler = type("BoundHandler", (Handler,), {"model": LazyModel(folder)})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    return server


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    try:
        server = serve(options.models, options.port)
    except OSError as exc:
        print(f"The embedding model's server does not start: {exc}", file=sys.stderr)
        return 1
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}"}), flush=True)
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)  # a normal exit would wait for running requests


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway.providers.local_embedding_server")
    parser.add_argument("--models", type=Path, required=True, help="the folder with weights and vocabulary")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
