"""LiteLLM as a client: chat completions, Responses, embeddings, and Anthropic's messages."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it downloads a price list when imported

import json
from typing import Any

import litellm
from checks import (
    BASE_URL,
    KEY,
    RETRY_AFTER,
    SPENT_KEY,
    URL,
    check,
    contains,
    equal,
    refused,
    requests_for,
    run,
    waits,
)
from conversation import (
    ASKED,
    CLAUDE,
    GREETING,
    HELLO,
    IMAGE_PARTS,
    LONG_TEXT,
    MODEL,
    ONE_IMAGE,
    PARAMETERS,
    WEATHER,
    Report,
)

litellm.suppress_debug_info = True
LONG: list[Any] = [{"role": "user", "content": LONG_TEXT}]
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}


def complete(model: str = MODEL, messages: list[Any] = HELLO, **more: Any) -> Any:
    how = {"api_base": BASE_URL, "api_key": KEY, "timeout": 30, "max_retries": 0, **more}
    return litellm.completion(model=f"openai/{model}", messages=messages, **how)


def claude(model: str = CLAUDE, messages: list[Any] = HELLO, **more: Any) -> Any:
    how = {"api_base": URL, "api_key": KEY, "timeout": 30, "max_tokens": 100, **more}
    return litellm.completion(model=f"anthropic/{model}", messages=messages, **how)


def _uses_tools(call: Any) -> None:
    first = call(messages=ASKED, tools=[TOOL]).choices[0]
    equal(first.finish_reason, "tool_calls")
    (use,) = first.message.tool_calls
    equal((use.function.name, json.loads(use.function.arguments)), ("get_weather", {"city": "Paris"}))
    result = {"role": "tool", "tool_call_id": use.id, "content": "21"}
    again = call(messages=[*ASKED, first.message.model_dump(), result], tools=[TOOL])
    equal(again.choices[0].message.content, WEATHER)


def _streams(call: Any) -> None:
    pieces = [chunk.choices[0].delta.content or "" for chunk in call(stream=True) if chunk.choices]
    equal("".join(pieces), GREETING)
    assert sum(map(bool, pieces)) > 1, "the answer arrived in one piece"


def _sees_images(call: Any) -> None:
    answer = call(messages=[{"role": "user", "content": IMAGE_PARTS}])
    equal(answer.choices[0].message.content, ONE_IMAGE)


@check("chat whole")
def _() -> None:
    answer = complete()
    equal((answer.choices[0].message.content, answer.choices[0].finish_reason), (GREETING, "stop"))
    assert answer.usage.prompt_tokens > 0


check("chat stream", lambda: _streams(complete))
check("chat tools", lambda: _uses_tools(complete))


@check("chat structured output")
def _() -> None:
    answer = complete(messages=ASKED, response_format=Report)
    equal(Report.model_validate_json(answer.choices[0].message.content).city, "Paris")


check("chat images", lambda: _sees_images(complete))


@check("chat bad parameter")
def _() -> None:
    with refused(litellm.BadRequestError) as caught:
        complete(temperature=5)
    contains(caught[0], "temperature")


@check("chat unknown model")
def _() -> None:
    with refused(litellm.NotFoundError) as caught:
        complete("gpt-9")
    contains(caught[0], "gpt-9")


@check("chat context overflow")
def _() -> None:
    for model in ("local", "overflow", "claude-overflow"):
        with refused(litellm.ContextWindowExceededError):
            complete(model, LONG)


@check("chat rate limit")
def _() -> None:
    with refused(litellm.RateLimitError) as caught:
        complete("busy")
    equal(float(caught[0].response.headers["retry-after"]), RETRY_AFTER)


@check("chat retry")
def _() -> None:
    with waits():
        equal(complete("busy-once", max_retries=2).choices[0].message.content, GREETING)
    equal(len(requests_for("busy-once")), 2)


@check("chat spent budget")
def _() -> None:
    with refused(litellm.RateLimitError):
        complete(api_key=SPENT_KEY)
    equal(requests_for(MODEL), [])


@check("responses whole")
def _() -> None:
    answer = litellm.responses(model=f"openai/{MODEL}", input="Hello", api_base=BASE_URL, api_key=KEY)
    equal(answer.output[0].content[0].text, GREETING)


@check("responses stream")
def _() -> None:
    events = litellm.responses(
        model=f"openai/{MODEL}", input="Hello", stream=True, api_base=BASE_URL, api_key=KEY
    )
    equal("".join(event.delta for event in events if event.type == "response.output_text.delta"), GREETING)


@check("embeddings whole")
def _() -> None:
    answer = litellm.embedding(
        model="openai/text-embedding-3-small", input=["Hello", "Hi"], api_base=BASE_URL, api_key=KEY
    )
    equal([row["embedding"][0] for row in answer.data], [5.0, 2.0])


@check("messages whole")
def _() -> None:
    answer = claude()
    equal(answer.choices[0].message.content, GREETING)
    assert answer.usage.prompt_tokens > 0


check("messages stream", lambda: _streams(claude))
check("messages tools", lambda: _uses_tools(claude))
check("messages images", lambda: _sees_images(claude))


@check("messages unknown model")
def _() -> None:
    with refused(litellm.NotFoundError) as caught:
        claude("claude-9")
    contains(caught[0], "claude-9")


@check("messages context overflow")
def _() -> None:
    with refused(litellm.ContextWindowExceededError):
        claude("claude-overflow", LONG)


@check("messages rate limit")
def _() -> None:
    with refused(litellm.RateLimitError):
        claude("claude-busy", num_retries=0)


run()
