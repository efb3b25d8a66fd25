"""Reasoning reaches the client as thinking, and goes back to the provider that wants it."""

from collections.abc import Callable
from typing import Any

import anthropic

from gateway.providers.tests import scripted_anthropic as claude
from gateway.providers.tests import scripted_openai as gpt
from gateway.providers.tests.scripted_http import Answer, ScriptedServer

Behind = Callable[..., ScriptedServer]
QUESTION: Any = {"role": "user", "content": "Add 1 and 2."}
ADD: Any = {"name": "add", "input_schema": {"type": "object", "properties": {}}}


def loop(alice: anthropic.Anthropic, model: str, **more: Any) -> tuple[Any, Any]:
    """Both replies of a loop with one call; the first is sent back as it came."""
    wanted: Any = {"model": model, "max_tokens": 3000, "tools": [ADD], **more}
    with alice.messages.stream(**wanted, messages=[QUESTION]) as stream:
        first = stream.get_final_message()
    call = first.content[-1]
    assert call.type == "tool_use"
    result: Any = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "3"}],
    }
    said: Any = {"role": "assistant", "content": [block.to_dict() for block in first.content]}
    return first, alice.messages.create(**wanted, messages=[QUESTION, said, result])


def test_claudes_thinking_comes_and_goes_with_its_signature(
    alice: anthropic.Anthropic, behind: Behind
) -> None:
    thinking = claude.block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Let me "},
        {"type": "thinking_delta", "thinking": "see."},
        {"type": "signature_delta", "signature": "sig=="},
    )
    hidden = claude.block(1, {"type": "redacted_thinking", "data": "hidden"})
    call = claude.tool_block(2, "toolu_1", "add", '{"a":', "1}")
    asks = Answer([claude.start(), thinking, hidden, call, claude.end("tool_use")])
    upstream = behind("anthropic", asks, claude.reply("3."))
    first, _ = loop(alice, "anthropic", thinking={"type": "enabled", "budget_tokens": 2000})
    blocks = [
        {"type": "thinking", "thinking": "Let me see.", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "hidden"},
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
    ]
    assert [block.to_dict() for block in first.content] == blocks
    sent = upstream.requests[-1].body
    assert sent["messages"][1] == {"role": "assistant", "content": blocks}
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 2000}


def test_another_models_reasoning_goes_back_to_it(alice: anthropic.Anthropic, behind: Behind) -> None:
    google = {"google": {"thought_signature": "sig"}}
    call = {
        "index": 0,
        "id": "c1",
        "type": "function",
        "function": {"name": "add", "arguments": "{}"},
        "extra_content": google,
    }
    pieces = [
        gpt.chunk({"reasoning_content": "Let me "}),
        gpt.chunk({"reasoning_content": "see."}),
        gpt.chunk({"tool_calls": [call]}),
        gpt.chunk(finish="tool_calls"),
        gpt.usage(prompt_tokens=9, completion_tokens=8),
        gpt.DONE,
    ]
    upstream = behind("compatible", Answer(pieces), gpt.reply("3."))
    first, _ = loop(alice, "compatible", thinking={"type": "enabled", "budget_tokens": 2000})
    assert [block.type for block in first.content] == ["thinking", "redacted_thinking", "tool_use"]
    assert first.content[0].thinking == "Let me see."
    sent = upstream.requests[-1].body
    assert sent["reasoning_effort"] == "low"
    assert sent["messages"][1]["reasoning_content"] == "Let me see."
    assert sent["messages"][1]["tool_calls"][0]["extra_content"] == google
    assert "thinking" not in sent
    # Anthropic would refuse what another model thought.
    other = behind("anthropic", claude.reply("4."))
    said: Any = {
        "role": "assistant",
        "content": [block.to_dict() for block in first.content[:-1]] + [{"type": "text", "text": "3."}],
    }
    alice.messages.create(model="anthropic", max_tokens=50, messages=[QUESTION, said, QUESTION])
    assert other.requests[-1].body["messages"][1]["content"] == [{"type": "text", "text": "3."}]
