"""OpenAI's Python library: Responses."""

import json
from typing import Any

import openai
from checks import RETRY_AFTER, check, contains, equal, refused, requests_for, run, waits
from conversation import (
    ASKED,
    CLAUDE,
    GREETING,
    LONG_TEXT,
    MODEL,
    ONE_IMAGE,
    PARAMETERS,
    PIXEL_URL,
    QUESTION,
    REPORT,
    WEATHER,
    Report,
)
from openai_clients import client, impatient, refused_once, spent

TOOL: Any = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}


@check("responses whole")
def _() -> None:
    for model in (MODEL, CLAUDE):
        answer = client.responses.create(model=model, input="Hello", instructions="Be brief.")
        equal((answer.output_text, answer.status, answer.object), (GREETING, "completed", "response"))
        assert answer.usage is not None
        assert answer.usage.input_tokens > 0
        equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens)
        assert answer.id.startswith("resp_"), answer.id


@check("responses stream")
def _() -> None:
    events = list(client.responses.create(model=MODEL, input="Hello", stream=True))
    equal("".join(event.delta for event in events if event.type == "response.output_text.delta"), GREETING)
    equal((events[0].type, events[-1].type), ("response.created", "response.completed"))
    numbers = [event.sequence_number for event in events]
    equal(numbers, sorted(set(numbers)))
    with client.responses.stream(model=CLAUDE, input="Hello") as stream:
        for _ in stream:
            pass
        equal(stream.get_final_response().output_text, GREETING)


@check("responses tools")
def _() -> None:
    for model in (MODEL, CLAUDE):
        history: list[Any] = [*ASKED]
        answer = client.responses.create(model=model, input=history, tools=[TOOL])
        (call,) = (item for item in answer.output if item.type == "function_call")
        equal((call.name, json.loads(call.arguments)), ("get_weather", {"city": "Paris"}))
        history += [*answer.output, {"type": "function_call_output", "call_id": call.call_id, "output": "21"}]
        again = client.responses.create(model=model, input=history, tools=[TOOL])
        equal(again.output_text, WEATHER)
    with client.responses.stream(model=MODEL, input=ASKED, tools=[TOOL]) as stream:
        kinds = {event.type for event in stream}
    assert {"response.function_call_arguments.delta", "response.function_call_arguments.done"} <= kinds, kinds


@check("responses structured output")
def _() -> None:
    for model in (MODEL, CLAUDE):
        equal(client.responses.parse(model=model, input=QUESTION, text_format=Report).output_parsed, REPORT)


@check("responses images")
def _() -> None:
    parts = [{"type": "input_text", "text": "How many?"}, {"type": "input_image", "image_url": PIXEL_URL}]
    given: Any = [{"role": "user", "content": parts}]
    for model in (MODEL, CLAUDE):
        equal(client.responses.create(model=model, input=given).output_text, ONE_IMAGE)


@check("responses reasoning")
def _() -> None:
    asked: Any = {"effort": "high", "summary": "auto"}
    client.responses.create(model=MODEL, input="Hello", reasoning=asked)
    equal(requests_for(MODEL)[-1]["body"].get("reasoning_effort"), "high")
    answer = client.responses.create(model=CLAUDE, input="Hello", reasoning=asked)
    (thought,) = (item for item in answer.output if item.type == "reasoning")
    texts = [part.text for part in (*thought.summary, *(thought.content or ()))]
    contains("".join(texts), "The user greets me.")


@check("responses state")
def _() -> None:
    first = client.responses.create(model=MODEL, input="My name is Ada.")
    second = client.responses.create(model=MODEL, input="Hello", previous_response_id=first.id)
    equal(second.previous_response_id, first.id)
    contains(json.dumps(requests_for(MODEL)[-1]["body"]["messages"]), "My name is Ada.", GREETING)
    equal(client.responses.retrieve(first.id).output_text, GREETING)
    client.responses.delete(first.id)
    with refused(openai.NotFoundError):
        client.responses.retrieve(first.id)
    forgotten = client.responses.create(model=MODEL, input="Hello", store=False)
    with refused(openai.NotFoundError):
        client.responses.retrieve(forgotten.id)


@check("responses bad parameter")
def _() -> None:
    wrong: Any
    for wrong in ({"temperature": 5}, {"top_p": 7}):
        (name,) = wrong
        with refused(openai.BadRequestError) as caught:
            client.responses.create(model=MODEL, input="Hello", **wrong)
        equal(caught[0].param, name)
    with refused(openai.BadRequestError) as caught:
        client.responses.create(model=MODEL, input="Hello", previous_response_id="resp_unknown")
    equal(caught[0].param, "previous_response_id")


@check("responses unknown model")
def _() -> None:
    with refused(openai.NotFoundError) as caught:
        client.responses.create(model="gpt-9", input="Hello")
    equal(caught[0].code, "model_not_found")


@check("responses context overflow")
def _() -> None:
    for model in ("local", "overflow", "claude-overflow"):
        with refused(openai.BadRequestError) as caught:
            client.responses.create(model=model, input=LONG_TEXT)
        equal(caught[0].code, "context_length_exceeded")


@check("responses rate limit")
def _() -> None:
    with refused(openai.RateLimitError) as caught:
        impatient.responses.create(model="busy", input="Hello")
    equal(float(caught[0].response.headers["retry-after"]), RETRY_AFTER)


@check("responses retry")
def _() -> None:
    with waits():
        equal(client.responses.create(model="busy-once", input="Hello").output_text, GREETING)
    equal(len(requests_for("busy-once")), 2)


@check("responses spent budget")
def _() -> None:
    with refused_once():
        spent.responses.create(model=MODEL, input="Hello")
    equal(requests_for(MODEL), [])


run()
