"""OpenAI's Python library, set up in the ways that its drivers need."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
from checks import BASE_URL, KEY, SPENT_KEY, equal, refused

client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, timeout=30)
impatient = client.with_options(max_retries=0)
sent: list[Any] = []  # requests of the client without a budget, retries included
counting = openai.DefaultHttpxClient(event_hooks={"request": [sent.append]})
spent = openai.OpenAI(base_url=BASE_URL, api_key=SPENT_KEY, timeout=30, http_client=counting)


@contextmanager
def refused_once() -> Iterator[list[Any]]:
    """A rate-limit error that the library does not retry."""
    sent.clear()
    with refused(openai.RateLimitError) as caught:
        yield caught
    equal(len(sent), 1)
