"""LangChain's OpenAI package: ChatOpenAI over chat completions and over Responses, OpenAIEmbeddings."""

from collections.abc import Callable
from typing import Any

import openai
from checks import (
    BASE_URL,
    KEY,
    RETRY_AFTER,
    SPENT_KEY,
    check,
    contains,
    equal,
    refused,
    requests_for,
    run,
    waits,
)
from conversation import CLAUDE, GREETING, IMAGE_PARTS, LONG_TEXT, MODEL, ONE_IMAGE, QUESTION, WEATHER, Report
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


@tool
def get_weather(city: str) -> str:
    """Returns the temperature in a city."""
    return "21"


def chat(model: str = MODEL, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": model, "base_url": BASE_URL, "api_key": KEY, "timeout": 30, **more})


def responses(model: str = MODEL, **more: Any) -> ChatOpenAI:
    return chat(model, use_responses_api=True, **more)


Make = Callable[..., ChatOpenAI]


def _text(message: Any) -> str:
    """The content is a list of blocks with Responses, a text with chat completions."""
    content = message.content
    return (
        content
        if isinstance(content, str)
        else "".join(b["text"] for b in content if b.get("type") == "text")
    )


def _answers(make: Make) -> None:
    answer = make().invoke("Hello")
    equal(_text(answer), GREETING)
    assert answer.usage_metadata["input_tokens"] > 0, answer.usage_metadata


def _streams(make: Make) -> None:
    chunks = list(make().stream("Hello"))
    equal("".join(_text(chunk) for chunk in chunks), GREETING)
    assert sum(bool(_text(chunk)) for chunk in chunks) > 1, "the answer arrived in one piece"


def _uses_tools(make: Make) -> None:
    for model in (MODEL, CLAUDE):
        bound = make(model).bind_tools([get_weather])
        history: list[Any] = [HumanMessage(QUESTION)]
        first = bound.invoke(history)
        (call,) = first.tool_calls
        equal((call["name"], call["args"]), ("get_weather", {"city": "Paris"}))
        history += [first, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
        equal(_text(bound.invoke(history)), WEATHER)


def _structures(make: Make) -> None:
    for model in (MODEL, CLAUDE):
        for method in ("json_schema", "function_calling"):
            wanted = make(model).with_structured_output(Report, method=method)
            equal(wanted.invoke(QUESTION).city, "Paris")


def _sees_images(make: Make) -> None:
    equal(_text(make().invoke([HumanMessage(IMAGE_PARTS)])), ONE_IMAGE)


def _refuses_bad_parameters(make: Make) -> None:
    with refused(openai.BadRequestError) as caught:
        make(temperature=5).invoke("Hello")
    contains(caught[0], "temperature")


def _refuses_unknown_models(make: Make) -> None:
    with refused(openai.NotFoundError) as caught:
        make("gpt-9").invoke("Hello")
    equal(caught[0].code, "model_not_found")


def _recognises_overflow(make: Make) -> None:
    for model in ("local", "overflow", "claude-overflow"):
        with refused(ContextOverflowError):
            make(model).invoke(LONG_TEXT)


def _reports_rate_limits(make: Make) -> None:
    with refused(openai.RateLimitError) as caught:
        make("busy", max_retries=0).invoke("Hello")
    equal(float(caught[0].response.headers["retry-after"]), RETRY_AFTER)


def _retries(make: Make) -> None:
    with waits():
        equal(_text(make("busy-once").invoke("Hello")), GREETING)
    equal(len(requests_for("busy-once")), 2)


def _stops_at_the_budget(make: Make) -> None:
    with refused(openai.RateLimitError) as caught:
        make(api_key=SPENT_KEY).invoke("Hello")
    equal(caught[0].type, "insufficient_quota")


check("chat whole", lambda: _answers(chat))
check("chat stream", lambda: _streams(chat))
check("chat tools", lambda: _uses_tools(chat))
check("chat structured output", lambda: _structures(chat))
check("chat images", lambda: _sees_images(chat))
check("chat bad parameter", lambda: _refuses_bad_parameters(chat))
check("chat unknown model", lambda: _refuses_unknown_models(chat))
check("chat context overflow", lambda: _recognises_overflow(chat))
check("chat rate limit", lambda: _reports_rate_limits(chat))
check("chat retry", lambda: _retries(chat))
check("chat spent budget", lambda: _stops_at_the_budget(chat))


@check("responses whole")
def _() -> None:
    _answers(responses)
    equal(
        _text(chat("gpt-5-pro").invoke("Hello")), GREETING
    )  # LangChain itself calls this model over Responses


check("responses stream", lambda: _streams(responses))
check("responses tools", lambda: _uses_tools(responses))
check("responses structured output", lambda: _structures(responses))
check("responses images", lambda: _sees_images(responses))
check("responses bad parameter", lambda: _refuses_bad_parameters(responses))
check("responses unknown model", lambda: _refuses_unknown_models(responses))
check("responses context overflow", lambda: _recognises_overflow(responses))
check("responses rate limit", lambda: _reports_rate_limits(responses))
check("responses retry", lambda: _retries(responses))
check("responses spent budget", lambda: _stops_at_the_budget(responses))


@check("embeddings whole")
def _() -> None:
    """Texts are sent as they are, because tokens need a tokenizer file from the network."""
    embed = OpenAIEmbeddings(
        model="text-embedding-3-small", base_url=BASE_URL, api_key=KEY, check_embedding_ctx_length=False
    )
    equal([vector[0] for vector in embed.embed_documents(["Hello", "Hi"])], [5.0, 2.0])
    equal(embed.embed_query("Hello")[0], 5.0)


run()
