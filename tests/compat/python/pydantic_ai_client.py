"""pydantic-ai: its OpenAI models (chat completions and Responses) and its Anthropic model."""

import base64
from typing import Any

from anthropic import AsyncAnthropic
from checks import (
    BASE_URL,
    GREETING,
    KEY,
    LONG_TEXT,
    PIXEL,
    QUESTION,
    RETRY_AFTER,
    SPENT_KEY,
    URL,
    WEATHER,
    check,
    contains,
    equal,
    refused,
    requests_for,
    run,
    waits,
)
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, exceptions
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

MODEL, CLAUDE = "gpt-4.1", "claude-sonnet-4-6"
IMAGE = BinaryContent(base64.b64decode(PIXEL), media_type="image/png")


class Report(BaseModel):
    city: str
    degrees: int


REPORT = Report(city="Paris", degrees=21)


def model(api: str, name: str = MODEL, *, key: str = KEY, max_retries: int = 2) -> Any:
    """`api`: chat, responses or messages. A client per check, as each has an event loop of its own."""
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
    assert len(pieces) > 1, "the answer came in one piece"


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
    equal((await Agent(model(api, name)).run(["How many?", IMAGE])).output, "I see 1 image(s).")


async def _refuses(api: str, name: str) -> None:
    with refused(exceptions.ModelRequestRejectedError) as caught:
        await Agent(model(api, name), model_settings={"temperature": 5}).run("Hello")
    equal(caught[0].status_code, 400)
    contains(caught[0], "temperature")


async def _knows_no_other(api: str) -> None:
    with refused(exceptions.ModelNotFoundError) as caught:
        await Agent(model(api, "gpt-9")).run("Hello")
    contains(caught[0].body, "gpt-9")


async def _overflows(api: str, name: str) -> None:
    with refused(exceptions.ModelContextWindowExceededError):
        await Agent(model(api, name)).run(LONG_TEXT)


async def _is_limited(api: str, name: str) -> None:
    with refused(exceptions.ModelRateLimitError) as caught:
        await Agent(model(api, name, max_retries=0)).run("Hello")
    equal(caught[0].retry_after, RETRY_AFTER)


async def _retries(api: str, name: str) -> None:
    with waits():
        equal((await Agent(model(api, name)).run("Hello")).output, GREETING)
    equal(len(requests_for("busy-once")), 2)


async def _is_spent(api: str, name: str) -> None:
    with refused(exceptions.ModelHTTPError) as caught:
        await Agent(model(api, name, key=SPENT_KEY)).run("Hello")
    equal(caught[0].status_code, 402 if api == "messages" else 429)
    equal(requests_for(name), [])


@check("chat whole")
async def _() -> None:
    await _answers("chat", MODEL)


@check("chat stream")
async def _() -> None:
    await _streams("chat", MODEL)


@check("chat tools")
async def _() -> None:
    await _uses_tools("chat", MODEL, CLAUDE)


@check("chat structured output")
async def _() -> None:
    await _structures("chat", MODEL, CLAUDE)


@check("chat images")
async def _() -> None:
    await _sees_images("chat", MODEL)


@check("chat bad parameter")
async def _() -> None:
    await _refuses("chat", MODEL)


@check("chat unknown model")
async def _() -> None:
    await _knows_no_other("chat")


@check("chat context overflow")
async def _() -> None:
    await _overflows("chat", "overflow")


@check("chat rate limit")
async def _() -> None:
    await _is_limited("chat", "busy")


@check("chat retry")
async def _() -> None:
    await _retries("chat", "busy-once")


@check("chat spent budget")
async def _() -> None:
    await _is_spent("chat", MODEL)


@check("responses whole")
async def _() -> None:
    await _answers("responses", MODEL)


@check("responses stream")
async def _() -> None:
    await _streams("responses", MODEL)


@check("responses tools")
async def _() -> None:
    await _uses_tools("responses", MODEL, CLAUDE)


@check("responses structured output")
async def _() -> None:
    await _structures("responses", MODEL, CLAUDE)


@check("responses images")
async def _() -> None:
    await _sees_images("responses", MODEL)


@check("responses bad parameter")
async def _() -> None:
    await _refuses("responses", MODEL)


@check("responses unknown model")
async def _() -> None:
    await _knows_no_other("responses")


@check("responses context overflow")
async def _() -> None:
    await _overflows("responses", "overflow")


@check("responses rate limit")
async def _() -> None:
    await _is_limited("responses", "busy")


@check("responses retry")
async def _() -> None:
    await _retries("responses", "busy-once")


@check("responses spent budget")
async def _() -> None:
    await _is_spent("responses", MODEL)


@check("messages whole")
async def _() -> None:
    await _answers("messages", CLAUDE)


@check("messages stream")
async def _() -> None:
    await _streams("messages", CLAUDE)


@check("messages tools")
async def _() -> None:
    await _uses_tools("messages", CLAUDE)


@check("messages structured output")
async def _() -> None:
    await _structures("messages", CLAUDE)


@check("messages images")
async def _() -> None:
    await _sees_images("messages", CLAUDE)


@check("messages bad parameter")
async def _() -> None:
    await _refuses("messages", CLAUDE)


@check("messages unknown model")
async def _() -> None:
    await _knows_no_other("messages")


@check("messages context overflow")
async def _() -> None:
    await _overflows("messages", "claude-overflow")


@check("messages rate limit")
async def _() -> None:
    await _is_limited("messages", "claude-busy")


@check("messages retry")
async def _() -> None:
    await _retries("messages", "claude-busy-once")


@check("messages spent budget")
async def _() -> None:
    await _is_spent("messages", CLAUDE)


run()
