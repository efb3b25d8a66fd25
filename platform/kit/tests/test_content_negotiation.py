"""Accept chooses the format by its weights, and compressed bodies are refused with an explanation."""

import gzip
import json
from typing import Any

import pytest

from accounts.tests.cast import Cast
from kit.content_negotiation import prefers_stream


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        ("text/event-stream, */*", True),
        ("application/json, text/event-stream", True),
        ("text/event-stream;charset=utf-8 ; q=1, application/json;q=0.9", True),
        ("text/event-stream;q=0.9, application/json", False),
        ("text/event-stream;q=0.9,application/json;q=0.8", True),
        ("text/event-stream;q=0.5, */*", False),
        ("text/event-stream;q=0.5, application/*", False),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=x", True),
        ("text/event-stream;q=nan, application/json", True),
        ("application/json", False),
        ("*/*", False),
        ("text/*", False),
        ("", False),
        (",;,;q=,=", False),
    ],
)
def test_a_stream_is_sent_to_clients_that_prefer_it(accept: str, expected: bool) -> None:
    assert prefers_stream(accept) is expected


def test_a_client_that_prefers_json_gets_one_json(client_of: Any, cast: Cast) -> None:
    accept = {"Accept": "text/event-stream;q=0.9, application/json"}
    payload = {"message": "hi", "model": "local", "mcps": []}
    answer = client_of(cast.alice).post("/v1/chat/send", json=payload, headers=accept)
    assert (answer.headers["content-type"], answer.json()["reply"]) == ("application/json", "Hello there.")


def test_a_compressed_body_is_refused_as_such(client_of: Any, cast: Cast) -> None:
    alice, body = client_of(cast.alice), gzip.compress(json.dumps({"name": "Ops"}).encode())
    for route in ("chat/send", "chat/completions", "chat/explain", "workspaces", "images", "auth/token"):
        for encoding in ("gzip", "br", "GZIP, identity"):
            headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
            answer = alice.post(f"/v1/{route}", content=body, headers=headers)
            assert (answer.status_code, "Content-Encoding" in answer.text) == (415, True), route
    plain = {"Content-Encoding": "identity"}
    assert alice.post("/v1/chat/explain", json={"message": "hi", "model": "local"}, headers=plain).is_success
