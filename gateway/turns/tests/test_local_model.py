"""The real local model replies, is counted exactly, and gets the earlier messages."""

from collections.abc import Iterator
from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.providers.tests.test_local_server import start, url_of
from gateway.tests.events import send
from quotas.models import Hold


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    with start("--context", "4096") as process:
        yield url_of(process)
        process.communicate(timeout=20)


@pytest.fixture
def alice(client_of: Any, cast: Cast, model_url: str, settings: Any) -> Any:
    settings.LOCAL_MODEL_URL = model_url
    client = client_of(cast.alice)
    client.timeout = 300  # on a busy machine the model writes less than a token per second
    return client


def test_a_conversation_with_the_real_model(alice: Any) -> None:
    first = send(alice, "The capital of France is Paris. Say so.", max_tokens=24, temperature=0)
    assert first.status_code == 200, first.text
    received = first.json()
    assert received["reply"].strip()
    assert received["usage"]["exactness"] == "exact"
    assert 0 < received["usage"]["output_tokens"] <= 24

    second = send(
        alice,
        "What is the capital of France?",
        conversation_id=received["conversation_id"],
        max_tokens=24,
        temperature=0,
    ).json()
    assert "Paris" in second["reply"]
    assert (
        second["usage"]["input_tokens"]
        > received["usage"]["input_tokens"] + received["usage"]["output_tokens"]
    )


def test_the_prompts_hold_equals_the_models_count(alice: Any) -> None:
    """Admission counted with the model's own template and tokenizer, so the bound is the bill."""
    usage = send(alice, "Grüße, 你好, def f(x): return x", max_tokens=4).json()["usage"]
    hold = Hold.objects.get()
    assert hold.prompt_bound == usage["input_tokens"]
    assert not hold.overrun
