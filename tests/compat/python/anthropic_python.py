"""Anthropic's Python library: streams, tools, thinking, cache control, images, errors, token counts."""

from typing import Any

import anthropic
from checks import KEY, RETRY_AFTER, SPENT_KEY, URL, check, contains, equal, refused, requests_for, run, waits
from conversation import (
    ASKED,
    CLAUDE,
    GREETING,
    HELLO,
    LONG_TEXT,
    MODEL,
    ONE_IMAGE,
    PARAMETERS,
    PIXEL,
    WEATHER,
    Report,
)

client = anthropic.Anthropic(base_url=URL, api_key=KEY, timeout=30)
impatient = client.with_options(max_retries=0)
sent: list[Any] = []  # requests of the client without a budget, retries included
counting = anthropic.DefaultHttpxClient(event_hooks={"request": [sent.append]})
spent = anthropic.Anthropic(base_url=URL, api_key=SPENT_KEY, timeout=30, http_client=counting)
TOOL: Any = {"name": "get_weather", "input_schema": PARAMETERS}
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
EPHEMERAL: Any = {"type": "ephemeral"}


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@check("models list")
def _() -> None:
    ids = [model.id for model in client.models.list()]
    assert {CLAUDE, MODEL} <= set(ids), ids
    equal(client.models.retrieve(CLAUDE).id, CLAUDE)


@check("messages whole")
def _() -> None:
    for model in (CLAUDE, MODEL):
        message = client.messages.create(model=model, max_tokens=100, system="Be brief.", messages=HELLO)
        equal((text_of(message), message.stop_reason, message.role), (GREETING, "end_turn", "assistant"))
        assert message.usage.input_tokens > 0
        assert message.usage.output_tokens > 0
        assert message._request_id, "no request-id"


@check("messages stream")
def _() -> None:
    for model in (CLAUDE, MODEL):
        with client.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
            pieces = list(stream.text_stream)
            final = stream.get_final_message()
        equal(("".join(pieces), text_of(final), final.stop_reason), (GREETING, GREETING, "end_turn"))
        assert len(pieces) > 1, "the answer arrived in one piece"
        assert final.usage.output_tokens > 0
    raw = [
        event.type
        for event in client.messages.create(model=CLAUDE, max_tokens=9, messages=HELLO, stream=True)
    ]
    equal((raw[0], raw[-2:]), ("message_start", ["message_delta", "message_stop"]))


@check("messages tools")
def _() -> None:
    for model in (CLAUDE, MODEL):
        with client.messages.stream(model=model, max_tokens=100, messages=ASKED, tools=[TOOL]) as stream:
            _round_trip(model, stream.get_final_message())
        _round_trip(model, client.messages.create(model=model, max_tokens=100, messages=ASKED, tools=[TOOL]))


def _round_trip(model: str, first: Any, **more: Any) -> None:
    equal(first.stop_reason, "tool_use")
    (use,) = (block for block in first.content if block.type == "tool_use")
    equal((use.name, use.input), ("get_weather", {"city": "Paris"}))
    result: Any = {"type": "tool_result", "tool_use_id": use.id, "content": "21"}
    history = [*ASKED, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    again = client.messages.create(
        **{"model": model, "max_tokens": 100, "messages": history, "tools": [TOOL], **more}
    )
    equal(text_of(again), WEATHER)


@check("messages structured output")
def _() -> None:
    for model in (CLAUDE, MODEL):
        parsed = client.messages.parse(model=model, max_tokens=100, messages=ASKED, output_format=Report)
        equal(parsed.parsed_output, Report(city="Paris", degrees=21))


@check("messages images")
def _() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    parts: Any = [{"type": "image", "source": source}, {"type": "text", "text": "How many?"}]
    for model in (CLAUDE, MODEL):
        message = client.messages.create(
            model=model, max_tokens=100, messages=[{"role": "user", "content": parts}]
        )
        equal(text_of(message), ONE_IMAGE)
    with refused(anthropic.BadRequestError):
        client.messages.create(
            model="text-only", max_tokens=100, messages=[{"role": "user", "content": parts}]
        )


@check("messages reasoning")
def _() -> None:
    asked: dict[str, Any] = {"max_tokens": 3000, "thinking": THINKING}
    message = client.messages.create(model=CLAUDE, messages=HELLO, **asked)
    equal([block.type for block in message.content], ["thinking", "text"])
    equal(message.content[0].thinking, "The user greets me.")  # type: ignore[union-attr]
    first = client.messages.create(model=CLAUDE, messages=ASKED, tools=[TOOL], **asked)
    _round_trip(CLAUDE, first, **asked)  # the provider refuses it without the signature
    with client.messages.stream(model=CLAUDE, messages=ASKED, tools=[TOOL], **asked) as stream:
        _round_trip(CLAUDE, stream.get_final_message(), **asked)


@check("messages cache control")
def _() -> None:
    system: Any = [{"type": "text", "text": "Be brief.", "cache_control": EPHEMERAL}]
    parts: Any = [{"type": "text", "text": "Hello", "cache_control": EPHEMERAL}]
    tool: Any = {**TOOL, "cache_control": EPHEMERAL}
    message = client.messages.create(
        model=CLAUDE,
        max_tokens=100,
        system=system,
        tools=[tool],
        messages=[{"role": "user", "content": parts}],
        tool_choice={"type": "none"},
        metadata={"user_id": "user-7"},
    )
    equal(message.usage.cache_read_input_tokens, 12)
    (seen,) = requests_for(CLAUDE)
    body = seen["body"]
    equal(body["system"][0]["cache_control"], EPHEMERAL)
    equal(body["tools"][0]["cache_control"], EPHEMERAL)
    equal(body["messages"][0]["content"][0]["cache_control"], EPHEMERAL)
    equal(body["metadata"], {"user_id": "user-7"})


@check("messages parameters")
def _() -> None:
    wanted: dict[str, Any] = {"top_k": 5, "stop_sequences": ["END"], "temperature": 0.5}
    client.messages.create(model=CLAUDE, max_tokens=77, messages=HELLO, extra_body=wanted)
    (seen,) = requests_for(CLAUDE)
    equal({name: seen["body"].get(name) for name in (*wanted, "max_tokens")}, {**wanted, "max_tokens": 77})


@check("messages token count")
def _() -> None:
    for model in (CLAUDE, MODEL):
        short = client.messages.count_tokens(model=model, messages=HELLO).input_tokens
        more = client.messages.count_tokens(
            model=model, messages=ASKED, system=LONG_TEXT, tools=[TOOL]
        ).input_tokens
        assert 0 < short < more, (short, more)
    assert all(each["route"] != "messages" for each in requests_for(CLAUDE)), "counting called the model"
    with refused(anthropic.NotFoundError):
        client.messages.count_tokens(model="claude-9", messages=HELLO)


@check("messages bad parameter")
def _() -> None:
    wrong: Any
    for wrong in ({"temperature": 5}, {"top_p": 7}, {"max_tokens": -1}, {"messages": []}):
        (name,) = wrong
        with refused(anthropic.BadRequestError) as caught:
            client.messages.create(model=CLAUDE, max_tokens=100, messages=HELLO, extra_body=wrong)
        equal((caught[0].body["type"], caught[0].body["error"]["type"]), ("error", "invalid_request_error"))
        contains(caught[0].message, name)


@check("messages unknown model")
def _() -> None:
    with refused(anthropic.NotFoundError) as caught:
        client.messages.create(model="claude-9", max_tokens=100, messages=HELLO)
    equal(caught[0].body["error"]["type"], "not_found_error")


@check("messages context overflow")
def _() -> None:
    for model in ("claude-overflow", "overflow", "local"):
        with refused(anthropic.BadRequestError) as caught:
            client.messages.create(
                model=model, max_tokens=40, messages=[{"role": "user", "content": LONG_TEXT}]
            )
        contains(caught[0].message, "prompt is too long")  # Anthropic's clients look for these words


@check("messages rate limit")
def _() -> None:
    for model in ("claude-busy", "busy"):
        with refused(anthropic.RateLimitError) as caught:
            impatient.messages.create(model=model, max_tokens=100, messages=HELLO)
        equal(float(caught[0].response.headers["retry-after"]), RETRY_AFTER)
        equal(caught[0].body["error"]["type"], "rate_limit_error")


@check("messages retry")
def _() -> None:
    with waits():
        equal(
            text_of(client.messages.create(model="claude-busy-once", max_tokens=100, messages=HELLO)),
            GREETING,
        )
    equal(len(requests_for("busy-once")), 2)


@check("messages spent budget")
def _() -> None:
    with refused(anthropic.PaymentRequiredError) as caught:  # as for an account without credit
        spent.messages.create(model=CLAUDE, max_tokens=100, messages=HELLO)
    equal((caught[0].body["error"]["type"], len(sent)), ("billing_error", 1))
    equal(requests_for(CLAUDE), [])


@check("messages x-api-key")
def _() -> None:
    """The header that older versions, and most other clients of this API, send."""
    headers: Any = {"X-Api-Key": KEY, "Authorization": anthropic.Omit()}
    older = anthropic.Anthropic(base_url=URL, api_key="unused", default_headers=headers)
    equal(text_of(older.messages.create(model=CLAUDE, max_tokens=100, messages=HELLO)), GREETING)


@check("messages wrong key")
def _() -> None:
    with refused(anthropic.AuthenticationError) as caught:
        anthropic.Anthropic(base_url=URL, api_key="sy_wrong").messages.create(
            model=CLAUDE, max_tokens=100, messages=HELLO
        )
    equal(caught[0].body["error"]["type"], "authentication_error")


run()
