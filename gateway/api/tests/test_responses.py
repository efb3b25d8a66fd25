"""OpenAI's own package uses the Responses API; each event and object is one of its models.

The package builds its objects without checking them, so each is checked here.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from accounts.tests.cast import Cast
from gateway.api.tests.raw_provider import RawProvider, install_raw
from gateway.models import Conversation, StoredResponse, Turn
from gateway.providers.tests import scripted_anthropic as claude
from gateway.providers.tests.scripted_openai import DONE, chunk, usage
from gateway.tests.events import send
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from kit.tenancy import tenant_scope
from quotas.models import UsageRecord
from quotas.tests.ledger import limit_to

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
PATCH: dict[str, Any] = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Changes files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: PATCH"},
}
AGENTS: dict[str, Any] = {
    "type": "namespace",
    "name": "agents",
    "description": "Other agents",
    "tools": [{"type": "function", "name": "spawn", "parameters": {"type": "object", "properties": {}}}],
}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}


@pytest.fixture
def alice(server: Served, cast: Cast) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=cast.alice.token, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def served_raw() -> Iterator[tuple[RawProvider, Served]]:
    raw = RawProvider()
    with Served(raw) as served:
        yield raw, served


@pytest.fixture
def raw(served_raw: tuple[RawProvider, Served], server: Served, cast: Cast, settings: Any) -> RawProvider:
    """The models `gpt` and `claude`, whose providers send given bytes."""
    provider, served = served_raw
    settings.OUTBOUND_ALLOWED = [served.url.removeprefix("http://")]
    install_raw(cast.alice, served.url, kind="compatible", slug="gpt")
    install_raw(cast.alice, served.url, kind="anthropic", slug="claude")
    return provider


def deltas(*pieces: dict[str, Any], finish: str = "stop") -> list[bytes]:
    counts = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    details = {
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    return [*(chunk(piece) for piece in pieces), chunk(finish=finish), usage(**counts, **details), DONE]


def stream(
    client: openai.OpenAI, *, on_event: Callable[[Any], None] | None = None, **request: Any
) -> list[Any]:
    """The events of a stream, each checked against the package's models, in order and numbered."""
    headers, lines = {"Authorization": f"Bearer {client.api_key}"}, []
    with httpx.stream(
        "POST", f"{client.base_url}responses", json={**request, "stream": True}, headers=headers, timeout=30
    ) as answer:
        for line in answer.iter_lines():
            if line:
                lines.append(line)
            if on_event and line.startswith("data: {"):
                on_event(json.loads(line.removeprefix("data: ")))
    assert answer.status_code == 200, lines
    assert lines[-1] == "data: [DONE]"
    found = [json.loads(line.removeprefix("data: ")) for line in lines[:-1] if line.startswith("data: ")]
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert names == [each["type"] for each in found]
    assert [each["sequence_number"] for each in found] == list(range(len(found)))
    events = [EVENT.validate_python(each) for each in found]
    for event in events:
        no_extras(event, where=event.type)
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    return events


def no_extras(model: BaseModel, where: str) -> None:
    """A misspelt field would be accepted as an unknown one."""
    allowed = {"cost", "status", "name", "store", "bytes"}  # ours, or not yet in the package
    assert set(model.__pydantic_extra__ or ()) <= allowed, where
    for field, value in model:
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, BaseModel):
                no_extras(inner, f"{where}.{field}")


def rebuilt(events: list[Any]) -> list[dict[str, Any]]:
    """The output as a client assembles it from the events."""
    items: dict[int, Any] = {}
    added = [event for event in events if event.type == "response.output_item.added"]
    assert [event.output_index for event in added] == list(range(len(added)))
    for event in events:
        if event.type == "response.output_item.done":
            items[event.output_index] = event.item.to_dict()
    return [items[index] for index in sorted(items)]


def checked(response: Response) -> Response:
    return Response.model_validate(response.to_dict())


def test_it_answers_whole_and_streamed_with_the_clients_parameters(
    alice: openai.OpenAI, raw: RawProvider
) -> None:
    raw.answers(deltas({"content": "Hello"}, {"content": " there."}))
    request: dict[str, Any] = {
        "model": "gpt",
        "instructions": "Be brief.",
        "input": [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        ],
        "max_output_tokens": 90,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "Reply", "schema": {"type": "object"}, "strict": True},
        },
        "metadata": {"trace": "t1"},
        "prompt_cache_key": "k",
        "extra_body": {"top_k": 5},
    }
    answer = checked(alice.responses.create(**request))
    assert (answer.output_text, answer.status, answer.model) == ("Hello there.", "completed", "gpt")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (9, 4, 13)
    assert answer.usage.input_tokens_details.cached_tokens == 5
    assert answer.usage.output_tokens_details.reasoning_tokens == 2
    assert (answer.metadata, answer.temperature, answer.instructions) == ({"trace": "t1"}, 0.5, "Be brief.")
    sent = raw.requests[-1]
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": "Hello"},
    ]
    expected = {
        "max_tokens": 90,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning_effort": "low",
        "verbosity": "low",
        "prompt_cache_key": "k",
        "top_k": 5,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "Reply", "schema": {"type": "object"}, "strict": True},
        },
    }
    assert {name: sent.get(name) for name in expected} == expected
    assert not {"metadata", "store", "input", "text", "reasoning"} & sent.keys()

    events = stream(alice, model="gpt", input="Hello")
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "Hello there."
    assert events[-1].type == "response.completed"
    assert rebuilt(events) == [item.to_dict() for item in events[-1].response.output]
    counted = alice.responses.input_tokens.count(model="gpt", input="Hello", instructions="Be brief.")
    assert (counted.object, counted.input_tokens > 3) == ("response.input_tokens", True)
    with alice.responses.stream(model="gpt", input="Hello") as helper:
        assert helper.get_final_response().output_text == "Hello there."


@pytest.mark.parametrize("model", ["gpt", "claude"])
def test_a_tool_loop_keeps_reasoning_calls_and_results(
    alice: openai.OpenAI, raw: RawProvider, cast: Cast, model: str
) -> None:
    """Stateless: the client sends everything back, also what the provider wants of its reasoning."""
    calls = [
        {**CALL, "extra_content": {"google": {"thought_signature": "sig-call"}}},
        {"index": 0, "function": {"arguments": '{"city":'}},
        {
            "index": 1,
            "id": "call_2",
            "type": "function",
            "function": {"name": "apply_patch", "arguments": ""},
        },
        {"index": 0, "function": {"arguments": '"Oslo"}'}},
        {"index": 1, "function": {"arguments": '{"input": "*** Begin\\n"}'}},
        {"index": 2, "id": "call_3", "function": {"name": "agents__spawn", "arguments": "{}"}},
    ]
    detail = {"type": "reasoning.text", "text": "Hmm.", "signature": "sig", "format": "anthropic-claude-v1"}
    compatible = deltas(
        {"reasoning_content": "Hmm.", "reasoning_details": [detail]},
        {"content": "Let me look."},
        *({"tool_calls": [call]} for call in calls),
        finish="tool_calls",
    )
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    anthropic = [
        claude.start(),
        claude.block(
            0,
            thinking,
            {"type": "thinking_delta", "thinking": "Hmm."},
            {"type": "signature_delta", "signature": "sig"},
        ),
        claude.text_block(1, "Let me look."),
        claude.tool_block(2, "call_1", "get_weather", '{"city":', '"Oslo"}'),
        claude.tool_block(3, "call_2", "apply_patch", '{"input": "*** Begin\\n"}'),
        claude.tool_block(4, "call_3", "agents__spawn"),
        claude.end("tool_use"),
    ]
    last = {
        "gpt": deltas({"content": "Done."}),
        "claude": [claude.start(), claude.text_block(0, "Done."), claude.end()],
    }
    raw.answers({"gpt": compatible, "claude": anthropic}[model], last[model])
    request: dict[str, Any] = {
        "model": model,
        "tools": [WEATHER, PATCH, AGENTS],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "parallel_tool_calls": True,
    }
    asked: list[Any] = [{"type": "message", "role": "user", "content": "Weather?"}]
    events = stream(alice, input=asked, **request)
    output = rebuilt(events)
    shown = [item for item in output if item["type"] != "reasoning" or item["summary"]]
    assert [item["type"] for item in shown] == [
        "reasoning",
        "message",
        "function_call",
        "custom_tool_call",
        "function_call",
    ]
    reasoning, message, weather, patch, spawn = shown
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Hmm."}]
    assert "sig" not in json.dumps(output)
    assert message["content"][0]["text"] == "Let me look."
    assert (weather["name"], weather["arguments"]) == ("get_weather", '{"city":"Oslo"}')
    assert (patch["name"], patch["input"]) == ("apply_patch", "*** Begin\n")
    assert (spawn["name"], spawn["namespace"], spawn["call_id"]) == ("spawn", "agents", "call_3")
    outputs = [
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [{"type": "input_text", "text": "Sun"}],
        },
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "ok"},
        {"type": "function_call_output", "call_id": "call_3", "output": "7"},
    ]
    answer = checked(alice.responses.create(input=[*asked, *output, *outputs], **request))
    assert answer.output_text == "Done."
    first, second = raw.requests
    assert {tool.get("name") or tool["function"]["name"] for tool in first["tools"]} == {
        "get_weather",
        "apply_patch",
        "agents__spawn",
    }
    assert "start: PATCH" in json.dumps(first["tools"])
    written = json.dumps(second["messages"])
    assert '"sig"' in written
    if model == "gpt":
        reply = second["messages"][1]
        assert (reply["content"], reply["reasoning_content"]) == ("Let me look.", "Hmm.")
        assert reply["reasoning_details"] == [detail]
        assert reply["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "sig-call"}}
        assert [call["id"] for call in reply["tool_calls"]] == ["call_1", "call_2", "call_3"]
        assert json.loads(reply["tool_calls"][1]["function"]["arguments"]) == {"input": "*** Begin\n"}
        assert [m["content"] for m in second["messages"][2:]] == ["Sun", "ok", "7"]
    else:
        assert [block["type"] for block in second["messages"][1]["content"]] == [
            "thinking",
            "text",
            *["tool_use"] * 3,
        ]
    with tenant_scope(cast.alice.principal.tenant):
        assert not Conversation.objects.exists(), "store is false"


def test_what_else_a_provider_answers_reaches_the_client(alice: openai.OpenAI, raw: RawProvider) -> None:
    citation = {
        "type": "url_citation",
        "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 2},
    }
    token = {"token": "So", "logprob": -0.1, "bytes": [83], "top_logprobs": []}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    raw.answers(
        [
            chunk(
                {"content": "So"},
                choices=[{"index": 0, "delta": {"content": "So"}, "logprobs": {"content": [token]}}],
            ),
            chunk({"annotations": [citation]}),
            chunk({"images": [picture]}),
            chunk(finish="length"),
            usage(prompt_tokens=1, completion_tokens=1),
            DONE,
        ],
    )
    request = {"model": "gpt", "input": "Hi", "include": ["message.output_text.logprobs"]}
    events = stream(alice, **request)
    assert raw.requests[-1]["logprobs"] is True
    assert events[-1].type == "response.incomplete"
    response = events[-1].response
    assert response.incomplete_details.reason == "max_output_tokens"
    message, image = response.output
    assert message.content[0].logprobs[0].token == "So"
    assert message.content[0].annotations[0].url == "https://a"
    assert [e.annotation.title for e in events if e.type == "response.output_text.annotation.added"] == ["A"]
    assert (image.type, image.result) == ("image_generation_call", "AAAA")
    assert rebuilt(events) == [item.to_dict() for item in response.output]

    raw.answers(deltas({"refusal": "I can"}, {"refusal": "not."}, finish="content_filter"))
    events = stream(alice, model="gpt", input="Hi")
    [message] = events[-1].response.output
    assert message.content[0].refusal == "I cannot."
    assert events[-1].response.incomplete_details.reason == "content_filter"


def test_a_stored_response_is_a_turn_that_can_be_continued_and_branched(
    alice: openai.OpenAI, raw: RawProvider, client_of: Any, cast: Cast
) -> None:
    call = {**CALL, "function": {"name": "get_weather", "arguments": "{}"}, "extra_content": {"s": "sig"}}
    raw.answers(
        deltas({"reasoning_content": "Hmm."}, {"tool_calls": [call]}, finish="tool_calls"),
        deltas({"content": "Sunny."}),
        deltas({"content": "Again."}),
    )
    first = alice.responses.create(
        model="gpt", input="Weather in Oslo?", tools=[WEATHER], instructions="Be brief."
    )
    assert "encrypted_content" not in json.dumps(first.to_dict())
    result: Any = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
    second = alice.responses.create(model="gpt", input=[result], previous_response_id=first.id)
    messages = raw.requests[-1]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[1]["reasoning_content"] == "Hmm."
    assert messages[1]["tool_calls"][0]["extra_content"] == {"s": "sig"}

    rest = client_of(cast.alice)
    [conversation] = rest.get("/v1/conversations").json()["data"]
    assert (conversation["title"], conversation["turn_count"]) == ("Weather in Oslo?", 2)
    texts = rest.get(f"/v1/conversations/{conversation['id']}/messages").json()["data"]
    assert [(each["role"], each["content"]) for each in texts] == [
        ("user", "Weather in Oslo?"),
        ("user", "sun"),
        ("assistant", "Sunny."),
    ]
    for made in (first, second):
        stored = checked(alice.responses.retrieve(made.id))
        assert stored.output == made.output
        assert (stored.status, stored.usage, stored.tools) == (made.status, made.usage, made.tools)
        assert stored.previous_response_id == made.previous_response_id
    items = alice.responses.input_items.list(second.id).data
    assert [(item.type, item.output) for item in items] == [("function_call_output", "sun")]  # type: ignore[union-attr]

    # Another branch, by references to items instead of the items.
    references: Any = [{"type": "item_reference", "id": item.id} for item in first.output]
    question: Any = {"role": "user", "content": "Weather in Oslo?"}
    alice.responses.create(model="gpt", input=[question, *references, result], store=False)
    assert raw.requests[-1]["messages"] == messages
    branch = alice.responses.create(model="gpt", input=[result], previous_response_id=first.id)
    assert raw.requests[-1]["messages"] == messages
    texts = rest.get(f"/v1/conversations/{conversation['id']}/messages").json()["data"]
    assert [each["content"] for each in texts] == ["Weather in Oslo?", "sun", "Again."]
    # The web page, or another client of the chat, continues the conversation, and this API after it.
    raw.answers(deltas({"content": "By chat."}))
    assert send(rest, "And now?", model="gpt", conversation_id=conversation["id"]).status_code == 200
    assert [m["content"] for m in raw.requests[-1]["messages"]][-1] == "And now?"
    by_chat = rest.get(f"/v1/conversations/{conversation['id']}/messages").json()["data"][-1]["turn_id"]
    chat_id = f"resp_{by_chat.replace('-', '')}"
    alice.responses.create(model="gpt", input="Still?", previous_response_id=chat_id)
    assert [m["content"] for m in raw.requests[-1]["messages"]][-3:] == ["And now?", "By chat.", "Still?"]

    alice.responses.delete(second.id)
    alice.responses.delete(first.id)
    for gone in (first, second):
        with pytest.raises(openai.NotFoundError):
            alice.responses.retrieve(gone.id)
        with pytest.raises(openai.BadRequestError) as refusal:
            alice.responses.create(model="gpt", input="hi", previous_response_id=gone.id)
        assert refusal.value.code == "previous_response_not_found"
        assert refusal.value.param == "previous_response_id"
    assert checked(alice.responses.retrieve(branch.id)).output_text == "Again."
    assert rest.delete(f"/v1/conversations/{conversation['id']}").status_code == 204
    with pytest.raises(openai.NotFoundError):
        alice.responses.retrieve(branch.id)
    with tenant_scope(cast.alice.principal.tenant):
        assert not StoredResponse.objects.exists()


REFUSED = [
    ({"tools": [{"type": "web_search"}]}, "tools", "unsupported_parameter"),
    (
        {"tools": [WEATHER, {"type": "code_interpreter", "container": {"type": "auto"}}]},
        "tools",
        "unsupported_parameter",
    ),
    ({"tools": [{"type": "image_generation"}]}, "tools", "unsupported_parameter"),
    ({"tools": [WEATHER, WEATHER]}, "tools[1].name", "invalid_input"),
    (
        {"tool_choice": {"type": "function", "name": "nothing"}, "tools": [WEATHER]},
        "tool_choice",
        "invalid_input",
    ),
    ({"background": True}, "background", "unsupported_parameter"),
    ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_parameter"),
    ({"include": ["file_search_call.results"]}, "include", "unsupported_parameter"),
    ({"max_tokens": 5}, "max_tokens", "unsupported_parameter"),
    ({"messages": []}, "messages", "unsupported_parameter"),
    ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
    ({"text": {"format": {"type": "grammar"}}}, "text.format", "unsupported_parameter"),
    ({"max_output_tokens": -1}, "max_output_tokens", "invalid_input"),
    ({"temperature": "hot"}, "temperature", "invalid_input"),
    ({"metadata": {"a": 1}}, "metadata", "invalid_input"),
    ({"store": "yes"}, "store", "invalid_input"),
    ({"truncation": "middle"}, "truncation", "invalid_input"),
    ({"input": None}, "input", "invalid_input"),
    ({"input": []}, "input", "invalid_input"),
    ({"input": ["hi"]}, "input[0]", "invalid_input"),
    ({"input": [{"type": "computer_call"}]}, "input[0].type", "invalid_input"),
    ({"input": [{"role": "boss", "content": "hi"}]}, "input[0].role", "invalid_input"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        "input[0].content[0].file_id",
        "invalid_input",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "file:///a"}]}]},
        "input[0].content[0].image_url.url",
        "invalid_input",
    ),
    (
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        "input[0].call_id",
        "invalid_input",
    ),
    (
        {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
        "input[0]",
        "invalid_input",
    ),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].id", "invalid_input"),
    (
        {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}]},
        "input[0].encrypted_content",
        "invalid_input",
    ),
    ({"input": "a\0b"}, "input", "invalid_input"),
    ({"input": "\ud800"}, "input", "invalid_input"),
    ({"model": "local", "max_output_tokens": 100_000}, "input", "context_length_exceeded"),
]


def test_what_is_not_supported_is_refused_by_name(
    server: Served, raw: RawProvider, provider: ScriptedProvider, cast: Cast
) -> None:
    raw.answers(deltas({"content": "No."}))
    wrong = []
    with httpx.Client(base_url=server.url, headers=cast.alice.headers, timeout=60) as client:
        for payload, param, code in REFUSED:
            text = json.dumps({"model": "gpt", "input": "Hi", **payload})
            answer = client.post("/v1/responses", content=text, headers={"Content-Type": "application/json"})
            error = answer.json().get("error") or {}
            found = (answer.status_code, error.get("param"), error.get("code"), error.get("type"))
            if found != (400, param, code, "invalid_request_error"):
                wrong.append((payload, found, answer.text[:300]))
        assert client.post("/v1/responses", json={"model": "no", "input": "Hi"}).status_code == 404
        for path in ("/v1/responses/resp_1", "/v1/responses/resp_1/cancel", "/v1/responses/a/b/c"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
    assert wrong == []
    assert raw.requests == []


def test_failures_are_errors_before_the_stream_and_events_within_it(
    alice: openai.OpenAI, provider: ScriptedProvider, cast: Cast
) -> None:
    provider.script = Script(status=500)
    with pytest.raises(openai.InternalServerError):
        alice.responses.create(model="local", input="Hi", stream=True)
    provider.script = Script(steps=["Half "], dies=True)
    events = stream(alice, model="local", input="Hi")
    assert [event.type for event in events[-3:]] == [
        "response.content_part.done",
        "response.output_item.done",
        "response.failed",
    ]
    assert [event.message for event in events if event.type == "error"]
    failed = events[-1].response
    assert (failed.error.code, failed.output[0].content[0].text) == ("server_error", "Half ")
    assert failed.output[0].status == "incomplete"
    stored = checked(alice.responses.retrieve(failed.id))
    assert (stored.status, stored.error) == ("failed", failed.error)
    limit_to(cast.alice, 1)
    with pytest.raises(openai.RateLimitError) as refusal:
        alice.responses.create(model="local", input="Hi")
    assert (refusal.value.code, refusal.value.response.headers["x-should-retry"]) == (
        "insufficient_quota",
        "false",
    )


def test_a_repeated_key_gives_the_same_response_and_one_bill(
    alice: openai.OpenAI, provider: ScriptedProvider
) -> None:
    keyed = {"Idempotency-Key": "once"}
    first = alice.responses.create(model="local", input="Hi", extra_headers=keyed)
    again = alice.responses.create(model="local", input="Hi", extra_headers=keyed)
    assert (again.id, again.output) == (first.id, first.output)
    assert len(provider.requests) == UsageRecord.objects.count() == 1
    with pytest.raises(openai.ConflictError):
        alice.responses.create(model="local", input="Other", extra_headers=keyed)


def test_no_one_else_gets_a_response(
    alice: openai.OpenAI, server: Served, provider: ScriptedProvider, cast: Cast
) -> None:
    made = alice.responses.create(model="local", input="Secret plans")
    sealed = alice.responses.create(model="local", input="Hi", include=["reasoning.encrypted_content"])
    assert sealed.output_text
    for person in (cast.bob, cast.charlie, cast.dana):
        other = alice.with_options(api_key=person.token).responses
        more: Any = {"model": "local", "input": "And?", "previous_response_id": made.id}
        for attempt in (other.retrieve, other.delete, other.input_items.list):
            with pytest.raises(openai.NotFoundError):
                attempt(made.id)
        with pytest.raises(openai.BadRequestError) as refusal:
            other.create(**more)
        error: Any = refusal.value.body
        assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
        reference: Any = {"type": "item_reference", "id": made.output[0].id}
        with pytest.raises(openai.BadRequestError):
            other.create(model="local", input=[reference])
    with tenant_scope(cast.alice.principal.tenant):
        assert Turn.objects.filter(stored_response__isnull=False).count() == 2


def test_codex_gets_its_tools_except_those_that_no_model_here_has(
    server: Served, raw: RawProvider, cast: Cast
) -> None:
    """What codex 0.171 sends: it offers web search with every request."""
    raw.answers(deltas({"content": "Done."}))
    request = {
        "model": "gpt",
        "input": [
            {
                "type": "message",
                "id": "msg_a",
                "role": "developer",
                "content": [{"type": "input_text", "text": "A"}],
            },
            {
                "type": "message",
                "role": "developer",
                "content": [{"type": "input_text", "text": "B"}, {"type": "input_text", "text": "C"}],
            },
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go"}]},
        ],
        "tools": [
            WEATHER,
            AGENTS,
            {"type": "local_shell"},
            {"type": "web_search", "external_web_access": True},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "stream": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "client_metadata": {"session_id": "s"},
    }
    shell = {"command": ["ls", "-l"], "timeout_ms": 1000}
    call = {"index": 0, "id": "c1", "function": {"name": "local_shell", "arguments": json.dumps(shell)}}
    raw.answers(deltas({"tool_calls": [call]}, finish="tool_calls"), deltas({"content": "Done."}))
    headers = {**cast.alice.headers, "originator": "codex_exec"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as codex:
        answer = codex.post("/v1/responses", json=request)
        assert answer.headers["x-switchyard-tools-left-out"] == "web_search"
        response = Response.model_validate(answer.json())
        assert [tool.type for tool in response.tools] == ["function", "namespace", "local_shell"]
        [item] = answer.json()["output"]
        assert (item["type"], item["action"]["command"]) == ("local_shell_call", ["ls", "-l"])
        result = {"type": "local_shell_call_output", "call_id": "c1", "id": "c1", "output": "made.txt"}
        more = {**request, "input": [*request["input"], item, result]}  # type: ignore[misc]
        assert codex.post("/v1/responses", json=more).json()["status"] == "completed"
    first, second = raw.requests
    assert first["messages"][0] == {"role": "system", "content": "A\n\nB\n\nC"}
    assert [tool["function"]["name"] for tool in first["tools"]] == [
        "get_weather",
        "agents__spawn",
        "local_shell",
    ]
    assert "client_metadata" not in first
    assert json.loads(second["messages"][2]["tool_calls"][0]["function"]["arguments"])["command"] == [
        "ls",
        "-l",
    ]
    assert second["messages"][3] == {"role": "tool", "tool_call_id": "c1", "content": "made.txt"}


def test_images_files_and_odd_orders_reach_the_model(alice: openai.OpenAI, raw: RawProvider) -> None:
    raw.answers(deltas({"content": "Seen."}))
    png = "data:image/png;base64,AAAA"
    text = "data:text/plain;base64,aGVsbG8="
    items: Any = [
        {"role": "user", "content": [{"type": "input_image", "image_url": png, "detail": "low"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": {"a": 1}},
        {"role": "user", "content": [{"type": "input_file", "filename": "a.txt", "file_data": text}]},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_image", "image_url": png}],
        },
        {"type": "function_call_output", "call_id": "c2", "output": "two"},
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "server_label": "s",
            "name": "add",
            "arguments": "{}",
            "output": "3",
        },
        {"role": "assistant", "content": "So."},
        {"role": "user", "content": "Well?"},
    ]
    answer = alice.responses.create(model="gpt", input=items, store=False)
    assert answer.output_text == "Seen."
    sent = raw.requests[-1]["messages"]
    assert [message["role"] for message in sent] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "user",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert sent[0]["content"] == [{"type": "image_url", "image_url": {"url": png, "detail": "low"}}]
    assert [call["function"]["arguments"] for call in sent[1]["tool_calls"]] == ["{}", '{"a": 1}']
    assert sent[4]["content"][1] == {"type": "image_url", "image_url": {"url": png}}
    assert sent[5]["content"] == "a.txt:\n\nhello"
    assert (sent[6]["tool_calls"][0]["function"]["name"], sent[7]["content"]) == ("add_mcp_s", "3")


def test_truncation_leaves_out_the_oldest_messages_with_their_results(
    alice: openai.OpenAI, provider: ScriptedProvider
) -> None:
    long = "word " * 3000
    items: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": long},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": long},
        {"role": "user", "content": "Well?"},
    ]
    request: Any = {"model": "local", "input": items, "store": False, "max_output_tokens": 50}
    with pytest.raises(openai.BadRequestError) as refusal:
        alice.responses.create(**request)
    assert refusal.value.code == "context_length_exceeded"
    answer = alice.responses.create(**request, truncation="auto")
    assert (answer.status, answer.truncation) == ("completed", "auto")
    sent = provider.requests[-1]["messages"]
    assert sent[0] == {"role": "system", "content": "Be brief."}
    assert sent[-1] == {"role": "user", "content": "Well?"}
    assert "tool" not in {message["role"] for message in sent if message["content"] == "Well?"}
    assert len(sent) < 5
