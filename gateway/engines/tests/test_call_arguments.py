"""The arguments of a tool call are stored and shown, however odd the model's JSON is."""

import json

import pytest

from gateway.engines.call_arguments import arguments_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 2}', {"a": 2}),
        ("", {}),
        ("not JSON", "not JSON"),
        ('{"a": "\\u0000"}', {"a": "\ufffd"}),
        ('{"a": "\\ud800"}', {"a": "\ufffd"}),
        ('{"a": NaN, "b": [Infinity]}', {"a": "nan", "b": ["inf"]}),
    ],
)
def test_arguments_are_converted_to_storable_json(text: str, expected: object) -> None:
    assert arguments_of(text) == expected
    json.dumps(arguments_of(text), allow_nan=False).encode()


def test_arguments_that_are_nested_too_deeply_stay_text() -> None:
    assert arguments_of("[" * 100_000) == "[" * 100_000
