"""A client's parameters go to the provider unchanged; those that bound a call's cost are ours."""

from typing import Any

import pytest

from gateway.calls.client_parameters import (
    LARGEST,
    LARGEST_PREDICTION,
    MOST_PARAMETERS,
    OWN,
    REFUSED,
    passed_through,
)
from gateway.errors import UnsupportedParameter
from kit.errors import InvalidInput

PASSED_ON: dict[str, Any] = {
    "reasoning_effort": "high",
    "verbosity": "low",
    "logprobs": True,
    "top_logprobs": 3,
    "metadata": {"a": "b"},
    "user": "u",
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {},
    "top_k": 5,
    "min_p": 0.1,
    "chat_template_kwargs": {"enable_thinking": False},
    "provider": {"order": ["a"]},
    "seed": 0,
    "stop": [],
    "top_p": 1.0,
    "response_format": {"type": "json_object"},
    "parallel_tool_calls": False,
    "store": False,
    "of_next_year": {"x": [1]},
}


@pytest.mark.parametrize("name", PASSED_ON)
def test_other_parameters_are_passed_on_unchanged(name: str) -> None:
    body = {"model": "m", "messages": [], "max_tokens": 9, name: PASSED_ON[name]}
    assert passed_through(body) == {name: PASSED_ON[name]}


def test_our_own_fields_and_nulls_are_not_passed_on() -> None:
    assert passed_through({**dict.fromkeys(OWN, 1), **dict.fromkeys(PASSED_ON)}) == {}


@pytest.mark.parametrize("name", REFUSED)
def test_ours_under_another_name_is_refused_with_what_to_send_instead(name: str) -> None:
    with pytest.raises(UnsupportedParameter) as refusal:
        passed_through({"model": "m", "top_k": 1, name: 5})
    assert list(refusal.value.details) == [name]
    assert refusal.value.status in (400, 422)
    assert passed_through({name: None}) == {}


@pytest.mark.parametrize(
    ("name", "most"),
    [("response_format", LARGEST), ("of_next_year", LARGEST), ("prediction", LARGEST_PREDICTION)],
)
def test_a_large_parameter_is_refused_by_name(name: str, most: int) -> None:
    frame = len(f'{{"{name}":""}}')
    assert passed_through({name: "x" * (most - frame)})
    with pytest.raises(InvalidInput) as refusal:
        passed_through({name: "x" * most, "top_k": 1})
    assert list(refusal.value.details) == [name]


def test_too_many_parameters_are_refused() -> None:
    assert len(passed_through({f"x{n}": n for n in range(MOST_PARAMETERS)})) == MOST_PARAMETERS
    with pytest.raises(InvalidInput, match=r"body"):
        passed_through({f"x{n}": n for n in range(MOST_PARAMETERS + 1)})
