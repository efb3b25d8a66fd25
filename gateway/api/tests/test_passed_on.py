"""The content that a completion passes on is bounded; content that cannot be bounded is refused."""

from typing import Any

import httpx
import pytest

from accounts.tests.cast import Cast
from gateway.calls.client_input import LARGEST_TOOLS, MOST_IMAGES
from gateway.calls.client_parameters import LARGEST, LARGEST_PREDICTION, MOST_PARAMETERS, REFUSED
from gateway.errors import UnsupportedParameter
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.turns.completion_request import CompletionRequest
from kit.errors import InvalidInput
from quotas.tests.ledger import limit_to

PATH = "messages[0].content[1]"
PNG = "data:image/png;base64,AAAA"
PDF = "data:application/pdf;base64,AAAA"


def parsed(**body: Any) -> CompletionRequest:
    return CompletionRequest.from_body({"model": "m", **body})


def refused(**body: Any) -> dict[str, Any]:
    with pytest.raises(InvalidInput) as refusal:
        parsed(**{"messages": [{"role": "user", "content": "Hi"}], **body})
    return refusal.value.details


def with_part(part: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "Look."}, part]}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
        {"type": "audio_url", "audio_url": {"url": "https://example.com/a.mp3"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "document_url", "document_url": "https://example.com/a.pdf"},
        {"type": "image", "source": {"type": "file", "file_id": "file-1"}},
        {"type": "search_result", "source": "https://example.com"},
        {"type": ["text"]},
        {"text": "no type"},
        "text",
        None,
    ],
)
def test_a_part_that_is_fetched_or_transcribed_is_refused_by_name(part: Any) -> None:
    assert list(refused(messages=with_part(part))) == [f"{PATH}.type"]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "text", "text": "hi", "file": {"file_id": "file-1"}}, "file"),
        (
            {"type": "text", "text": "hi", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            "source",
        ),
        ({"type": "text", "text": "hi", "image_url": {"url": "https://example.com/a.png"}}, "image_url"),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}, "video_url": {}},
            "video_url",
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "file_id": "file-1"}},
            "image_url.file_id",
        ),
        ({"type": "file", "file": {"file_data": PDF, "file_id": "file-1"}}, "file.file_id"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "url": "https://a"}}, "input_audio.url"),
    ],
)
def test_a_field_that_hides_in_a_known_part_is_refused_by_name(part: dict[str, Any], field: str) -> None:
    assert list(refused(messages=with_part(part))) == [f"{PATH}.{field}"]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "file", "file": {"file_data": "https://example.com/1000-pages.pdf"}}, "file.file_data"),
        ({"type": "file", "file": {"file_data": "file-1"}}, "file.file_data"),
        ({"type": "file", "file": {"filename": "a.pdf"}}, "file.file_data"),
        ({"type": "file", "file": None}, "file.file_data"),
        ({"type": "file"}, "file.file_data"),
        ({"type": "input_audio", "input_audio": {"data": "https://example.com/a.mp3"}}, "input_audio.data"),
        ({"type": "input_audio", "input_audio": {"data": None}}, "input_audio.data"),
        ({"type": "input_audio", "input_audio": "AAAA"}, "input_audio.data"),
    ],
)
def test_a_document_or_sound_by_reference_is_refused_by_name(part: dict[str, Any], field: str) -> None:
    assert list(refused(messages=with_part(part))) == [f"{PATH}.{field}"]


def test_every_field_of_a_file_by_reference_is_named() -> None:
    part = {"type": "file", "file": {"file_id": "file-1"}}
    assert list(refused(messages=with_part(part))) == [f"{PATH}.file.file_id", f"{PATH}.file.file_data"]


@pytest.mark.parametrize(
    "url",
    [
        "data:application/pdf;base64,AAAA",
        "data:audio/mp3;base64,AAAA",
        "data:image/svg+xml;base64,AAAA",
        "gs://bucket/film.mp4",
        "file-1",
        "switchyard-image:1",
        "https://example.com/" + "x" * 9000,
        None,
        7,
    ],
)
def test_an_image_is_a_picture(url: Any) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    assert list(refused(messages=with_part(part))) == [f"{PATH}.image_url.url"]


def test_content_within_its_bound_is_passed_on() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
    link = {"type": "image_url", "image_url": "https://example.com/a.png"}
    answer = {
        "role": "assistant",
        "content": None,
        "audio": None,
        "annotations": [],
        "refusal": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    cited = {"role": "assistant", "content": "So.", "annotations": [{"type": "url_citation"}]}
    document = {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}
    cached = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    messages = [part for one in (image, link, document, sound, cached) for part in with_part(one)]
    messages += [answer, cited]
    messages.append({"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "42"}]})
    assert parsed(messages=messages).messages == messages


@pytest.mark.parametrize(
    "field",
    [
        {"audio": {"id": "audio_1"}},
        {"attachments": [{"file_id": "file-1"}]},
        {"annotations": [{"type": "file", "file": {"hash": "1"}}]},
        {"content": {"type": "file"}},
    ],
)
def test_a_field_that_names_something_elsewhere_is_refused_by_name(field: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "Hi", **field}
    assert list(refused(messages=[message])) == [f"messages[0].{next(iter(field))}"]


@pytest.mark.parametrize("kind", ["web_search", "file_search", "browser_search", "builtin_function", None])
def test_a_tool_that_the_provider_runs_is_refused_by_name(kind: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": kind}]
    assert list(refused(tools=tools)) == ["tools[1].type"]


# As clients send them, by https://platform.openai.com/docs/api-reference/chat and in `extra_body`.
PARAMETERS: dict[str, Any] = {
    "reasoning_effort": "high",
    "verbosity": "low",
    "logprobs": True,
    "top_logprobs": 3,
    "metadata": {"trace": "t1"},
    "user": "user-7",
    "safety_identifier": "u-1",
    "service_tier": "flex",
    "prompt_cache_key": "chat-1",
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {"search_context_size": "low"},
    "response_format": {"type": "json_object"},
    "stop": ["END", "\n\n"],
    "seed": 0,
    "top_p": 1,
    "presence_penalty": 0,
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "store": False,
    "modalities": ["text"],
    "top_k": 20,
    "chat_template_kwargs": {"enable_thinking": False},
    "provider": {"order": ["a"], "allow_fallbacks": False},
    "guided_json": {"type": "object"},
    "invented_tomorrow": {"deep": [{"er": None}]},
}


def test_every_parameter_that_is_not_ours_is_passed_on_as_it_was_sent(
    client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    body = {"model": "local", "messages": [{"role": "user", "content": "Hi"}], **PARAMETERS}
    assert client_of(cast.alice).post("/v1/chat/completions", json=body).status_code == 200
    received = provider.requests[-1]
    assert {name: received.get(name, "missing") for name in PARAMETERS} == PARAMETERS


@pytest.mark.parametrize("bound", ["max_tokens", "max_completion_tokens"])
def test_either_name_of_the_output_bound_is_taken(
    client_of: Any, cast: Cast, provider: ScriptedProvider, bound: str
) -> None:
    body = {"model": "local", "messages": [{"role": "user", "content": "Hi"}], bound: 7, "temperature": 0}
    assert client_of(cast.alice).post("/v1/chat/completions", json=body).status_code == 200
    received = provider.requests[-1]
    assert (received["max_tokens"], received["temperature"]) == (7, 0)
    assert "max_completion_tokens" not in received


@pytest.mark.parametrize("name", REFUSED)
def test_what_bounds_the_bill_is_refused_under_every_other_name(name: str) -> None:
    with pytest.raises(UnsupportedParameter) as refusal:
        parsed(messages=[{"role": "user", "content": "Hi"}], **{name: 3})
    assert list(refusal.value.details) == [name]
    assert name in refusal.value.text
    assert parsed(messages=[{"role": "user", "content": "Hi"}], **{name: None}).extra == {}


def test_null_is_the_absence_of_a_parameter() -> None:
    names = (*PARAMETERS, "n", "stream", "stream_options", "tools", "max_tokens", "temperature")
    received = parsed(messages=[{"role": "user", "content": "Hi"}], **dict.fromkeys(names))
    assert (received.extra, received.tools, received.stream) == ({}, [], False)


@pytest.mark.parametrize("name", ["stop", "response_format", "invented_tomorrow", "user"])
def test_every_parameter_has_a_size_and_an_error_that_names_it(name: str) -> None:
    assert list(refused(**{name: {"description": "x" * LARGEST}})) == [name]


def test_a_prediction_may_be_a_whole_file() -> None:
    hello = [{"role": "user", "content": "Hi"}]
    prediction = {"type": "content", "content": "x" * LARGEST}
    assert parsed(messages=hello, prediction=prediction).extra == {"prediction": prediction}
    assert list(refused(prediction={"content": "x" * LARGEST_PREDICTION})) == ["prediction"]


def test_parameters_have_a_number() -> None:
    assert list(refused(**{f"p{number}": 1 for number in range(MOST_PARAMETERS + 1)})) == ["body"]


def test_tools_have_a_size_together() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "x" * (LARGEST_TOOLS // 2)}}
    assert list(refused(tools=[tool, tool])) == ["tools"]


def test_images_have_a_number() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG}}
    message = {"role": "user", "content": [image] * (MOST_IMAGES + 1)}
    assert list(refused(messages=[message])) == ["messages"]


def test_many_wrong_parts_make_one_short_refusal() -> None:
    assert len(refused(messages=[{"role": "user", "content": [None] * 5000}])) == 20


def test_an_error_names_the_offending_part(client_of: Any, cast: Cast, provider: ScriptedProvider) -> None:
    body = {"model": "local", "messages": with_part({"type": "video_url", "video_url": {"url": "https://a"}})}
    answer = client_of(cast.alice).post("/v1/chat/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_input", f"{PATH}.type")
    assert error["type"] == "invalid_request_error"
    assert provider.requests == []


@pytest.mark.parametrize(
    "hidden",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": "y" * 90_000}}},
        {"tools": [{"type": "function", "function": {"name": "f", "description": "y" * 90_000}}]},
        {"stop": ["y" * 7_000]},
        {"logit_bias": {str(number): 1 for number in range(1000)}},
        {"tool_choice": {"type": "function", "function": {"name": "y" * 7_000}}},
    ],
)
def test_text_in_a_parameter_needs_the_budget_that_it_would_need_in_a_message(
    client_of: Any, cast: Cast, provider: ScriptedProvider, hidden: dict[str, Any]
) -> None:
    limit_to(cast.alice, 5000)
    body = {"model": "local", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
    client: httpx.Client = client_of(cast.alice)
    assert client.post("/v1/chat/completions", json=body).status_code == 200
    answer = client.post("/v1/chat/completions", json={**body, **hidden})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert len(provider.requests) == 1
