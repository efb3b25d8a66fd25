"""The built-in embedding model's server: real vectors, exact counts, and it ends with its parent."""

import json
import subprocess
import sys
from array import array
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings

from gateway.errors import ContextTooLong, ProviderError
from gateway.providers.embeddings import EmbeddingRequest, as_floats, embed
from gateway.providers.local_embedding_server import LARGEST_BODY, LONGEST_INPUT, MOST_INPUTS
from gateway.providers.local_embeddings import BATCH, DIMENSIONS, LocalEmbeddingProvider
from gateway.providers.tests.embedding_model import needs_embedding_model
from workspaces.language_models.installation import LOCAL_EMBEDDING_WINDOW

ROOT = Path(__file__).resolve().parents[3]
TEXTS = ["A cat sits on the mat.", "A kitten rests on a rug.", "Revenue grew by 12% in May."]


def start(models: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gateway.providers.local_embedding_server", "--models", str(models)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    url: str = json.loads(process.stdout.readline())["url"]
    return url


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with start(settings.MODELS_DIR) as process:
        yield url_of(process)
        process.communicate(timeout=20)
    assert process.returncode == 0, "it does not end with its standard input"


def likeness(a: Any, b: Any) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@needs_embedding_model
async def test_it_embeds_and_counts_exactly(url: str, settings: Any) -> None:
    settings.LOCAL_EMBEDDING_URL = url
    found = await embed(LocalEmbeddingProvider(), EmbeddingRequest("m", TEXTS * (BATCH // 3 + 1)))
    cat, kitten, revenue, *rest = map(as_floats, found.vectors)
    assert len(rest) == len(TEXTS) * (BATCH // 3 + 1) - 3
    assert (len(cat), rest[0]) == (DIMENSIONS, cat)
    assert likeness(cat, cat) == pytest.approx(1, abs=1e-5)
    assert likeness(cat, kitten) > 0.5
    assert likeness(cat, revenue) < 0.2
    assert found.usage is not None
    assert found.usage.input_tokens == (9 + 9 + 10) * (BATCH // 3 + 1)


@needs_embedding_model
async def test_an_input_that_is_too_long_is_refused_and_named(url: str, settings: Any) -> None:
    settings.LOCAL_EMBEDDING_URL = url
    assert LONGEST_INPUT == LOCAL_EMBEDDING_WINDOW
    texts = ["hi"] * BATCH + ["hello " * LONGEST_INPUT]
    with pytest.raises(ContextTooLong, match=rf"^Input {BATCH} has {LONGEST_INPUT + 2} tokens\."):
        await embed(LocalEmbeddingProvider(), EmbeddingRequest("m", texts))


@needs_embedding_model
def test_invalid_requests_are_refused(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        for body in (
            b"",
            b"[]",
            b"{}",
            b'{"input": "hi"}',
            b'{"input": [1]}',
            b'{"input": []}',
            b"[" * 10_000,
        ):
            assert client.post("/v1/embeddings", content=body).status_code == 400, body[:20]
        many = {"input": ["a"] * (MOST_INPUTS + 1)}
        assert client.post("/v1/embeddings", json=many).status_code == 400
        empty = client.post("/v1/embeddings", json={"input": [""]}).json()
        vector = array("f", b64decode(empty["data"][0]["embedding"]))
        assert (len(vector), empty["usage"]["prompt_tokens"]) == (DIMENSIONS, 2)


@needs_embedding_model
@pytest.mark.parametrize("length", ["many", "-1", str(LARGEST_BODY + 1), "9" * 5000])
def test_an_invalid_content_length_is_refused(url: str, length: str) -> None:
    with closing(HTTPConnection(httpx.URL(url).netloc.decode(), timeout=30)) as connection:
        connection.request("POST", "/v1/embeddings", headers={"Content-Length": length})
        assert connection.getresponse().status == 400


async def test_without_its_files_it_says_so(tmp_path: Path, settings: Any) -> None:
    with start(tmp_path) as process:
        settings.LOCAL_EMBEDDING_URL = url_of(process)
        with pytest.raises(ProviderError, match="cannot be loaded: its files") as failure:
            await embed(LocalEmbeddingProvider(), EmbeddingRequest("m", TEXTS))
        output, _ = process.communicate(timeout=20)
    assert (failure.value.details["provider_status"], failure.value.transient) == (501, False)
    assert "The embedding model does not work" in output


async def test_without_its_server_the_error_names_the_remedy(settings: Any) -> None:
    settings.LOCAL_EMBEDDING_URL = "http://127.0.0.1:9"
    with pytest.raises(ProviderError, match="make run") as failure:
        await embed(LocalEmbeddingProvider(), EmbeddingRequest("m", TEXTS))
    assert failure.value.did_no_work
