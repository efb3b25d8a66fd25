"""OpenAI's Agents SDK: its default model class (Responses) and the one for chat completions."""

from typing import Any

import openai
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_default_openai_client,
    set_tracing_disabled,
)
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
from conversation import CLAUDE, GREETING, LONG_TEXT, MODEL, QUESTION, WEATHER, Report

set_tracing_disabled(True)


@function_tool
def get_weather(city: str) -> str:
    """Returns the temperature in a city."""
    return "21"


def client(**more: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(**{"base_url": BASE_URL, "api_key": KEY, "timeout": 30, **more})


def agent(kind: str, model: str = MODEL, *, openai_client: Any = None, **more: Any) -> Agent[Any]:
    """`kind`: `chat` or `responses`. Each check has its own event loop, and so its own client."""
    made = openai_client or client()
    kinds: Any = {"chat": OpenAIChatCompletionsModel, "responses": OpenAIResponsesModel}
    return Agent(
        name="A", instructions="Be brief.", model=kinds[kind](model=model, openai_client=made), **more
    )


async def _streams(kind: str) -> None:
    result = Runner.run_streamed(agent(kind), "Hello")
    pieces = [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    equal(("".join(pieces), result.final_output), (GREETING, GREETING))


async def _uses_tools(kind: str) -> None:
    for model in (MODEL, CLAUDE):
        result = await Runner.run(agent(kind, model, tools=[get_weather]), QUESTION)
        equal(result.final_output, WEATHER)
        streamed = Runner.run_streamed(agent(kind, model, tools=[get_weather]), QUESTION)
        async for _ in streamed.stream_events():
            pass
        equal(streamed.final_output, WEATHER)


async def _structures(kind: str) -> None:
    for model in (MODEL, CLAUDE):
        result = await Runner.run(agent(kind, model, output_type=Report), QUESTION)
        equal(result.final_output, Report(city="Paris", degrees=21))


async def _refuses_bad_parameters(kind: str) -> None:
    with refused(openai.BadRequestError) as caught:
        await Runner.run(agent(kind, model_settings=ModelSettings(temperature=5)), "Hello")
    contains(caught[0], "temperature")


async def _refuses_unknown_models(kind: str) -> None:
    with refused(openai.NotFoundError) as caught:
        await Runner.run(agent(kind, "gpt-9"), "Hello")
    equal(caught[0].code, "model_not_found")


async def _recognises_overflow(kind: str) -> None:
    with refused(openai.BadRequestError) as caught:
        await Runner.run(agent(kind, "overflow"), LONG_TEXT)
    equal(caught[0].code, "context_length_exceeded")


async def _reports_rate_limits(kind: str) -> None:
    with refused(openai.RateLimitError) as caught:
        await Runner.run(agent(kind, "busy", openai_client=client(max_retries=0)), "Hello")
    equal(float(caught[0].response.headers["retry-after"]), RETRY_AFTER)


async def _retries(kind: str) -> None:
    with waits():
        equal((await Runner.run(agent(kind, "busy-once"), "Hello")).final_output, GREETING)
    equal(len(requests_for("busy-once")), 2)


async def _stops_at_the_budget(kind: str) -> None:
    with refused(openai.RateLimitError):
        await Runner.run(agent(kind, openai_client=client(api_key=SPENT_KEY)), "Hello")


@check("responses whole")
async def _() -> None:
    set_default_openai_client(client(), use_for_tracing=False)
    result = await Runner.run(Agent(name="A", model=MODEL), "Hello")  # with all defaults
    equal(result.final_output, GREETING)
    assert result.context_wrapper.usage.input_tokens > 0


check("responses stream", lambda: _streams("responses"))
check("responses tools", lambda: _uses_tools("responses"))
check("responses structured output", lambda: _structures("responses"))


@check("responses state")
async def _() -> None:
    first = await Runner.run(agent("responses"), "My name is Ada.")
    second = await Runner.run(agent("responses"), "Hello", previous_response_id=first.last_response_id)
    equal(second.final_output, GREETING)
    contains(str(requests_for(MODEL)[-1]["body"]["messages"]), "My name is Ada.")


check("responses bad parameter", lambda: _refuses_bad_parameters("responses"))
check("responses unknown model", lambda: _refuses_unknown_models("responses"))
check("responses context overflow", lambda: _recognises_overflow("responses"))
check("responses rate limit", lambda: _reports_rate_limits("responses"))
check("responses retry", lambda: _retries("responses"))
check("responses spent budget", lambda: _stops_at_the_budget("responses"))


@check("chat whole")
async def _() -> None:
    equal((await Runner.run(agent("chat"), "Hello")).final_output, GREETING)


check("chat stream", lambda: _streams("chat"))
check("chat tools", lambda: _uses_tools("chat"))
check("chat structured output", lambda: _structures("chat"))
check("chat bad parameter", lambda: _refuses_bad_parameters("chat"))
check("chat unknown model", lambda: _refuses_unknown_models("chat"))
check("chat context overflow", lambda: _recognises_overflow("chat"))
check("chat rate limit", lambda: _reports_rate_limits("chat"))
check("chat retry", lambda: _retries("chat"))
check("chat spent budget", lambda: _stops_at_the_budget("chat"))


run()
