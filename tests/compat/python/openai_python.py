"""OpenAI's Python library: chat completions, embeddings and models."""

import json
from typing import Any

import openai
from checks import BASE_URL, RETRY_AFTER, check, contains, equal, refused, requests_for, run, waits
from conversation import (
    ASKED,
    CLAUDE,
    GREETING,
    IMAGE_PARTS,
    LONG_TEXT,
    MODEL,
    ONE_IMAGE,
    PARAMETERS,
    REPORT,
    WEATHER,
    Report,
)
from openai_clients import client, impatient, refused_once, spent

HELLO: list[Any] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": PARAMETERS, "strict": True},
}


@check("models list")
def _() -> None:
    ids = [model.id for model in client.models.list()]
    assert {MODEL, CLAUDE} <= set(ids), ids
    equal(client.models.retrieve(MODEL).id, MODEL)


@check("models unknown model")
def _() -> None:
    with refused(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-9")
    equal(caught[0].code, "model_not_found")


@check("chat whole")
def _() -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO)
    equal(answer.choices[0].message.content, GREETING)
    equal((answer.choices[0].finish_reason, answer.object), ("stop", "chat.completion"))
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.prompt_tokens_details is not None
    equal(answer.usage.prompt_tokens_details.cached_tokens, 2)
    assert answer._request_id, "no x-request-id"


@check("chat stream")
def _() -> None:
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options=options)
    )
    pieces = [
        chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content
    ]
    equal("".join(pieces), GREETING)
    assert len(pieces) > 1, "the answer arrived in one piece"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    with client.chat.completions.stream(model=MODEL, messages=HELLO) as stream:
        equal(stream.get_final_completion().choices[0].message.content, GREETING)


@check("chat tools")
def _() -> None:
    first = client.chat.completions.create(model=MODEL, messages=ASKED, tools=[TOOL]).choices[0]
    equal(first.finish_reason, "tool_calls")
    _round_trip(first.message)
    with client.chat.completions.stream(model=MODEL, messages=ASKED, tools=[TOOL]) as stream:
        _round_trip(stream.get_final_completion().choices[0].message)
    with client.chat.completions.stream(model=CLAUDE, messages=ASKED, tools=[TOOL]) as stream:
        _round_trip(stream.get_final_completion().choices[0].message, CLAUDE)


def _round_trip(message: Any, model: str = MODEL) -> None:
    (call,) = message.tool_calls
    equal((call.function.name, json.loads(call.function.arguments)), ("get_weather", {"city": "Paris"}))
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "21"}
    again = client.chat.completions.create(model=model, messages=[*ASKED, message, result], tools=[TOOL])
    equal(again.choices[0].message.content, WEATHER)


@check("chat structured output")
def _() -> None:
    for model in (MODEL, CLAUDE):
        answer = client.chat.completions.parse(model=model, messages=ASKED, response_format=Report)
        equal(answer.choices[0].message.parsed, REPORT)


@check("chat images")
def _() -> None:
    messages: Any = [{"role": "user", "content": IMAGE_PARTS}]
    for model in (MODEL, CLAUDE):
        answer = client.chat.completions.create(model=model, messages=messages)
        equal(answer.choices[0].message.content, ONE_IMAGE)
    with refused(openai.BadRequestError) as caught:
        client.chat.completions.create(model="text-only", messages=messages)
    contains(caught[0].message, "image")


@check("chat parameters")
def _() -> None:
    wanted: dict[str, Any] = {
        "reasoning_effort": "high",
        "verbosity": "low",
        "logprobs": True,
        "top_logprobs": 2,
        "metadata": {"trace": "t1"},
        "user": "user-7",
        "prompt_cache_key": "chat-1",
        "safety_identifier": "u-1",
        "seed": 7,
        "stop": ["END"],
    }
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, **wanted)
    (seen,) = requests_for(MODEL)
    equal({name: seen["body"].get(name) for name in wanted}, wanted)
    assert answer.choices[0].logprobs is not None, "no logprobs in the answer"
    equal("".join(each.token for each in answer.choices[0].logprobs.content or ()), GREETING)


@check("chat bad parameter")
def _() -> None:
    wrong: Any
    for wrong in ({"temperature": 5}, {"top_p": 7}, {"reasoning_effort": "enormous"}, {"messages": []}):
        (name,) = wrong
        with refused(openai.BadRequestError) as caught:
            client.chat.completions.create(**{"model": MODEL, "messages": HELLO, **wrong})
        equal(caught[0].param, name)
        equal(caught[0].type, "invalid_request_error")
        contains(caught[0].message, name)


@check("chat unknown model")
def _() -> None:
    with refused(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-9", messages=HELLO)
    equal((caught[0].code, caught[0].type), ("model_not_found", "invalid_request_error"))


@check("chat context overflow")
def _() -> None:
    for model in ("local", "overflow", "claude-overflow"):
        with refused(openai.BadRequestError) as caught:
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": LONG_TEXT}])
        equal(caught[0].code, "context_length_exceeded")


@check("chat rate limit")
def _() -> None:
    for model in ("busy", "claude-busy"):
        with refused(openai.RateLimitError) as caught:
            impatient.chat.completions.create(model=model, messages=HELLO)
        equal(float(caught[0].response.headers["retry-after"]), RETRY_AFTER)


@check("chat retry")
def _() -> None:
    with waits():
        answer = client.chat.completions.create(model="busy-once", messages=HELLO)
    equal(answer.choices[0].message.content, GREETING)
    equal(len(requests_for("busy-once")), 2)


@check("chat spent budget")
def _() -> None:
    with refused_once() as caught:
        spent.chat.completions.create(model=MODEL, messages=HELLO)
    equal(caught[0].type, "insufficient_quota")
    equal(requests_for(MODEL), [])


@check("chat wrong key")
def _() -> None:
    with refused(openai.AuthenticationError):
        openai.OpenAI(base_url=BASE_URL, api_key="sy_wrong").chat.completions.create(
            model=MODEL, messages=HELLO
        )


@check("embeddings whole")
def _() -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input=["Hello", "Hi"])
    equal([row.embedding[0] for row in answer.data], [5.0, 2.0])
    assert answer.usage.prompt_tokens > 0
    answer = client.embeddings.create(
        model="text-embedding-3-small", input="Hello", dimensions=4, encoding_format="float"
    )
    equal(answer.data[0].embedding, [5.0, 0.5, 0.5, 0.5])
    tokens = client.embeddings.create(model="text-embedding-3-small", input=[[1, 2, 3], [4]])
    equal([row.embedding[0] for row in tokens.data], [3.0, 1.0])


@check("embeddings bad parameter")
def _() -> None:
    with refused(openai.BadRequestError) as caught:
        client.embeddings.create(model="text-embedding-3-small", input="")
    equal(caught[0].param, "input")
    with refused(openai.BadRequestError):
        client.embeddings.create(model=MODEL, input="Hello")


@check("embeddings unknown model")
def _() -> None:
    with refused(openai.NotFoundError) as caught:
        client.embeddings.create(model="gpt-9", input="Hello")
    equal(caught[0].code, "model_not_found")


@check("embeddings spent budget")
def _() -> None:
    with refused_once():
        spent.embeddings.create(model="text-embedding-3-small", input="Hello " * 20)
    equal(requests_for("text-embedding-3-small"), [])


run()
