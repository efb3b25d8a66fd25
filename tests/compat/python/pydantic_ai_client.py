"""pydantic-ai: its OpenAI models (chat completions and Responses) and its Anthropic model."""

import base64
from typing import Any

from anthropic import AsyncAnthropic
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
    CLAUDE,
    GREETING,
    LONG_TEXT,
    MODEL,
    ONE_IMAGE,
    PIXEL,
    QUESTION,
    REPORT,
    WEATHER,
    Report,
)
from openai import AsyncOpenAI
from pydantic_ai import Agent, BinaryContent, NativeOutput, exceptions
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

IMAGE = BinaryContent(base64.b64decode(PIXEL), media_type="image/png")


def model(api: str, name: str = MODEL, *, key: str = KEY, max_retries: int = 2) -> Any:
    """`api`: chat, responses or messages. Each check has its own event loop, and so its own client."""
    how: Any = {"api_key": key, "timeout": 30, "max_retries": max_retries}
    if api == "messages":
        return AnthropicModel(
            name, provider=AnthropicProvider(anthropic_client=AsyncAnthropic(base_url=URL, **how))
        )
    kinds: Any = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}
    return kinds[api](name, provider=OpenAIProvider(openai_client=AsyncOpenAI(base_url=BASE_URL, **how)))


def with_weather(made: Any) -> Agent[None, str]:
    agent = Agent(made)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Returns the temperature in a city."""
        return "21"

    return agent


async def _answers(api: str, name: str) -> None:
    result = await Agent(model(api, name), instructions="Be brief.").run("Hello")
    equal(result.output, GREETING)
    used = result.usage() if callable(result.usage) else result.usage
    assert used.input_tokens > 0, used


async def _streams(api: str, name: str) -> None:
    async with Agent(model(api, name)).run_stream("Hello") as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    equal("".join(pieces), GREETING)
    assert len(pieces) > 1, "the answer arrived in one piece"


async def _uses_tools(api: str, *names: str) -> None:
    for name in names:
        equal((await with_weather(model(api, name)).run(QUESTION)).output, WEATHER)
        async with with_weather(model(api, name)).run_stream(QUESTION) as result:
            equal(await result.get_output(), WEATHER)


async def _structures(api: str, *names: str) -> None:
    for name in names:
        by_tool = await Agent(model(api, name), output_type=Report).run(QUESTION)
        native = await Agent(model(api, name), output_type=NativeOutput(Report)).run(QUESTION)
        equal((by_tool.output, native.output), (REPORT, REPORT))


async def _sees_images(api: str, name: str) -> None:
    equal((await Agent(model(api, name)).run(["How many?", IMAGE])).output, ONE_IMAGE)


async def _refuses_bad_parameters(api: str, name: str) -> None:
    with refused(exceptions.ModelRequestRejectedError) as caught:
        await Agent(model(api, name), model_settings={"temperature": 5}).run("Hello")
    equal(caught[0].status_code, 400)
    contains(caught[0], "temperature")


async def _refuses_unknown_models(api: str) -> None:
    with refused(exceptions.ModelNotFoundError) as caught:
        await Agent(model(api, "gpt-9")).run("Hello")
    contains(caught[0].body, "gpt-9")


async def _recognises_overflow(api: str, name: str) -> None:
    with refused(exceptions.ModelContextWindowExceededError):
        await Agent(model(api, name)).run(LONG_TEXT)


async def _reports_rate_limits(api: str, name: str) -> None:
    with refused(exceptions.ModelRateLimitError) as caught:
        await Agent(model(api, name, max_retries=0)).run("Hello")
    equal(caught[0].retry_after, RETRY_AFTER)


async def _retries(api: str, name: str) -> None:
    with waits():
        equal((await Agent(model(api, name)).run("Hello")).output, GREETING)
    equal(len(requests_for("busy-once")), 2)


async def _stops_at_the_budget(api: str, name: str) -> None:
    with refused(exceptions.ModelHTTPError) as caught:
        await Agent(model(api, name, key=SPENT_KEY)).run("Hello")
    equal(caught[0].status_code, 402 if api == "messages" else 429)
    equal(requests_for(name), [])


check("chat whole", lambda: _answers("chat", MODEL))
check("chat stream", lambda: _streams("chat", MODEL))
check("chat tools", lambda: _uses_tools("chat", MODEL, CLAUDE))
check("chat structured output", lambda: _structures("chat", MODEL, CLAUDE))
check("chat images", lambda: _sees_images("chat", MODEL))
check("chat bad parameter", lambda: _refuses_bad_parameters("chat", MODEL))
check("chat unknown model", lambda: _refuses_unknown_models("chat"))
check("chat context overflow", lambda: _recognises_overflow("chat", "overflow"))
check("chat rate limit", lambda: _reports_rate_limits("chat", "busy"))
check("chat retry", lambda: _retries("chat", "busy-once"))
check("chat spent budget", lambda: _stops_at_the_budget("chat", MODEL))
check("responses whole", lambda: _answers("responses", MODEL))
check("responses stream", lambda: _streams("responses", MODEL))
check("responses tools", lambda: _uses_tools("responses", MODEL, CLAUDE))
check("responses structured output", lambda: _structures("responses", MODEL, CLAUDE))
check("responses images", lambda: _sees_images("responses", MODEL))
check("responses bad parameter", lambda: _refuses_bad_parameters("responses", MODEL))
check("responses unknown model", lambda: _refuses_unknown_models("responses"))
check("responses context overflow", lambda: _recognises_overflow("responses", "overflow"))
check("responses rate limit", lambda: _reports_rate_limits("responses", "busy"))
check("responses retry", lambda: _retries("responses", "busy-once"))
check("responses spent budget", lambda: _stops_at_the_budget("responses", MODEL))
check("messages whole", lambda: _answers("messages", CLAUDE))
check("messages stream", lambda: _streams("messages", CLAUDE))
check("messages tools", lambda: _uses_tools("messages", CLAUDE))
check("messages structured output", lambda: _structures("messages", CLAUDE))
check("messages images", lambda: _sees_images("messages", CLAUDE))
check("messages bad parameter", lambda: _refuses_bad_parameters("messages", CLAUDE))
check("messages unknown model", lambda: _refuses_unknown_models("messages"))
check("messages context overflow", lambda: _recognises_overflow("messages", "claude-overflow"))
check("messages rate limit", lambda: _reports_rate_limits("messages", "claude-busy"))
check("messages retry", lambda: _retries("messages", "claude-busy-once"))
check("messages spent budget", lambda: _stops_at_the_budget("messages", CLAUDE))


run()
