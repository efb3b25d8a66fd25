"""A call streams the provider's reply in OpenAI's format, with the workspace's own model, key and bounds."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.egress.consumers import EngineConsumer
from gateway.egress.tests.engine import (
    DONE,
    PING,
    QUESTION,
    Engine,
    EngineTurn,
    counters,
    deltas,
    last_call,
    ledger,
    received,
)
from gateway.egress.tests.remote import KEY, UNREACHABLE, RemoteProvider, install
from gateway.providers.tests import scripted_openai as openai
from gateway.tests.scripted_provider import Script, ScriptedProvider
from kit.tenancy import tenant_scope
from quotas.models import UsageRecord
from workspaces.language_models.installation import change_key, set_fallback
from workspaces.language_models.models import ProviderCredential

Begin = Callable[..., EngineTurn]
CALL = {"id": "call_1", "type": "function", "function": {"name": "add_mcp_calc", "arguments": '{"a": 1}'}}
TOOL = {"type": "function", "function": {"name": "add_mcp_calc", "parameters": {"type": "object"}}}


def test_a_call_streams_role_text_finish_reason_and_usage(engine: Engine, begin: Begin) -> None:
    said = received(engine.call(begin()))
    assert deltas(said, "role") == ["assistant"]
    assert deltas(said, "content") == ["Hello", " there", "."]
    *chunks, end = said
    assert end == DONE
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * 4 + ["stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert len({(chunk["id"], chunk["object"], chunk["model"]) for chunk in chunks}) == 1
    assert (chunks[0]["object"], chunks[0]["model"]) == ("chat.completion.chunk", "routed")


def test_reasoning_and_tool_calls_are_streamed(
    engine: Engine, begin: Begin, cast: Cast, remote: RemoteProvider
) -> None:
    install(cast.alice, remote.url)
    pieces = [{"index": 0, **CALL}, {"index": 0, "function": {"arguments": ""}}]
    remote.lines = [
        openai.chunk({"reasoning_content": "Let me "}),
        openai.chunk({"reasoning_content": "see."}),
        openai.chunk({"tool_calls": pieces}),
        openai.chunk(finish="tool_calls"),
        openai.usage(prompt_tokens=7, completion_tokens=9),
        openai.DONE,
    ]
    said = received(engine.call(begin(model="gpt")))
    assert deltas(said, "reasoning_content") == ["Let me ", "see."]
    assert deltas(said, "tool_calls")[0][0] == {"index": 0, **CALL}
    assert said[-3]["choices"][0]["finish_reason"] == "tool_calls"
    whole = engine.call(begin(model="gpt"), stream=None).json()
    choice = whole["choices"][0]
    assert (choice["message"]["content"], choice["message"]["tool_calls"]) == (None, [CALL])
    assert choice["message"]["reasoning_content"] == "Let me see."
    assert choice["finish_reason"] == "tool_calls"
    assert ledger() == [(7, 9, "exact")] * 2


def test_without_a_stream_the_response_is_one_object(engine: Engine, begin: Begin) -> None:
    answer = engine.call(begin(), stream=None)
    assert answer.headers["content-type"] == "application/json"
    whole = answer.json()
    message = {"role": "assistant", "content": "Hello there."}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    assert (whole["object"], whole["choices"]) == ("chat.completion", [choice])
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def test_a_reply_without_text_is_empty(engine: Engine, begin: Begin, provider: ScriptedProvider) -> None:
    provider.script = Script(steps=[], usage=(3, 0))
    whole = engine.call(begin(), stream=None).json()
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": ""}
    assert ledger() == [(3, 0, "exact")]


def test_settlement_and_end_are_committed_before_the_engine_gets_the_end(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    provider.script = Script(finish_reason="length", usage=(12, 34))
    turn = begin()
    with engine.calling(turn) as said:
        end = next(piece for piece in said if isinstance(piece, dict) and _finish_of(piece))
        assert (_finish_of(end), ledger(), last_call(turn)) == (
            "length",
            [(12, 34, "exact")],
            {"finish_reason": "length"},
        )
        assert list(said)[-1] == DONE
    assert counters() == (46, 0)


def test_the_providers_connection_is_not_awaited_after_its_end(
    engine: Engine, begin: Begin, provider: ScriptedProvider
) -> None:
    never = threading.Event()
    provider.script = Script(after_done=never)
    said = received(engine.call(begin()))
    never.set()
    assert said[-1] == DONE


def test_the_engines_parameters_are_translated_for_the_provider(
    engine: Engine, begin: Begin, cast: Cast, remote: RemoteProvider
) -> None:
    install(cast.alice, remote.url)
    extras = {"top_p": 0.5, "stop": ["END"], "tool_choice": "auto", "parallel_tool_calls": False}
    received(
        engine.call(
            begin(model="gpt"),
            max_tokens=None,
            max_completion_tokens=33,
            temperature=0.25,
            tools=[TOOL],
            user=begin().engine_user_id,
            n=5,
            store=True,
            **extras,
        )
    )
    sent = remote.requests[0]
    assert sent == {
        "model": "gpt-4o",
        "messages": QUESTION,
        "max_tokens": 33,
        "temperature": 0.25,
        "tools": [TOOL],
        "stream": True,
        "stream_options": {"include_usage": True},
        **extras,
    }


def test_without_an_output_bound_the_models_own_is_sent(
    engine: Engine, begin: Begin, cast: Cast, remote: RemoteProvider
) -> None:
    install(cast.alice, remote.url, output_bound=77)
    for absurd in (None, 0, -1, "20", True):
        received(engine.call(begin(model="gpt"), max_tokens=absurd))
    assert [sent["max_tokens"] for sent in remote.requests] == [77] * 5


def test_the_workspaces_key_is_sent_and_the_engine_never_sees_it(
    engine: Engine, begin: Begin, cast: Cast, remote: RemoteProvider
) -> None:
    credential = install(cast.alice, remote.url)
    answer = engine.call(begin(model="gpt"))
    assert received(answer)[-1] == DONE
    assert remote.headers[0]["authorization"] == f"Bearer {KEY}"
    assert not any("x-" in name and "engine" in name for name in remote.headers[0])
    with tenant_scope(cast.alice.principal.tenant):
        change_key(credential=credential, key="sk-another")
    received(engine.call(begin(model="gpt")))
    assert remote.headers[1]["authorization"] == "Bearer sk-another"
    assert KEY not in answer.text + str(dict(answer.headers))


def test_content_may_be_a_list_of_parts(
    engine: Engine, begin: Begin, cast: Cast, remote: RemoteProvider
) -> None:
    install(cast.alice, remote.url)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1000}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}]
    assert received(engine.call(begin(model="gpt"), messages=messages))[-1] == DONE
    assert remote.requests[0]["messages"] == messages
    assert received(engine.call(begin(), messages=messages))[-1] == DONE


@pytest.mark.parametrize("trouble", ["down", "refuses", "unreadable key"])
def test_a_fallback_answers_if_the_provider_fails(
    engine: Engine,
    begin: Begin,
    cast: Cast,
    remote: RemoteProvider,
    trouble: str,
) -> None:
    install(cast.alice, UNREACHABLE if trouble == "down" else remote.url)
    remote.script = Script(status=401)
    with tenant_scope(cast.alice.principal.tenant):
        set_fallback(workspace_id=cast.alice.principal.workspace.id, slug="gpt", fallback="local")
        if trouble == "unreadable key":
            ProviderCredential.objects.update(sealed_key="sealed with a key that is gone")
    said = received(engine.call(begin(model="gpt")))
    assert deltas(said, "content") == ["Hello", " there", "."]
    assert deltas(said, "role") == ["assistant"]
    line = UsageRecord.objects.get()
    assert (line.model, line.provider, line.exactness) == ("local", "local", "exact")
    assert counters() == (6, 0)


def test_a_waiting_engine_gets_pings(
    engine: Engine, begin: Begin, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EngineConsumer, "ping_seconds", 0.05)
    silence = threading.Event()
    provider.scripts = [Script(status=503), Script(steps=[silence, "One ", "two"])]
    with engine.calling(begin()) as said:
        assert deltas([next(said)], "role") == [
            "assistant"
        ]  # the headers came before the provider's response
        assert [next(said) for _ in range(3)] == [PING] * 3
        silence.set()
        rest = [
            piece for piece in said if piece != PING
        ]  # to the end: after a hang-up it would still be settling
    assert (deltas(rest[:-1], "content"), rest[-1]) == (["One ", "two"], DONE)
    assert len(provider.requests) == 2


def _finish_of(piece: dict[str, Any]) -> str:
    reason: str = piece["choices"][0]["finish_reason"] if piece["choices"] else ""
    return reason
