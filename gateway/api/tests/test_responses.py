"""OpenAI's own package uses the Responses API; each event and object is one of its models."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from accounts.tests.cast import Cast
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served


@pytest.fixture
def alice(server: Served, cast: Cast) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=cast.alice.token, max_retries=0) as client:
        yield client


def test_it_answers(alice: openai.OpenAI, provider: ScriptedProvider) -> None:
    answer = alice.responses.create(model="local", input="Hello", instructions="Be brief.")
    assert answer.output_text == "Hello there."
    assert answer.status == "completed"
    assert provider.requests[-1]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]


def test_it_streams(alice: openai.OpenAI) -> None:
    events = list(alice.responses.create(model="local", input="Hello", stream=True))

    again = alice.responses.create(model="local", input="More", previous_response_id=events[-1].response.id)
    got = alice.responses.retrieve(again.id)
    assert got.output == again.output
    alice.responses.delete(again.id)
    with pytest.raises(openai.NotFoundError):
        alice.responses.retrieve(again.id)
