"""Answers the model calls of an engine check: fixed text, fixed counts, no provider and no bill."""

import asyncio
import time
from collections.abc import AsyncGenerator
from uuid import UUID

from accounts.engine_checks import TOOL_OFFERED, may_end, note_call, note_tool
from gateway.egress.routed_requests import ROUTED, RoutedRequest
from gateway.engines.librechat.registrations import split_name
from gateway.providers.openai_chunks import DONE, Envelope, line
from kit.errors import NotFound
from kit.tenancy import in_public

REPLY = ("Switchyard ", "is here.")
TOOL = "hello"  # of the server that a check registers
INPUT_TOKENS, OUTPUT_TOKENS = 3, 4
POLLS, POLL_SECONDS = 100, 0.1  # for the check's permission to end the reply


async def find_check(header: dict[str, str]) -> UUID:
    """The running check that the call belongs to. NotFound."""
    check_id = await in_public(
        note_call,
        message=header.get("x-message", ""),
        conversation=header.get("x-conversation", ""),
        engine_user_id=header.get("x-engine-user", ""),
    )
    if check_id is None:
        raise NotFound
    return check_id


async def check_answer(check_id: UUID, wanted: RoutedRequest) -> AsyncGenerator[bytes, None]:
    """Lines like a metered call's; the reply stays open until the check has seen it run.

    A call that offers the check's tool gets a tool call first, and then text.
    """
    envelope = Envelope(check_id, int(time.time()), ROUTED)
    yield b""
    offered = _offered(wanted)
    if offered and not _has_result(wanted):
        await in_public(note_tool, check_id, TOOL_OFFERED)
        yield line(envelope.chunk({"role": "assistant", "content": ""}))
        yield line(envelope.chunk({"tool_calls": [_call_of(offered, check_id)]}))
        yield _end(envelope, "tool_calls")
        yield DONE
        return
    first, second = REPLY
    yield line(envelope.chunk({"role": "assistant", "content": first}))
    for _ in range(POLLS):
        if await in_public(may_end, check_id):
            break
        await asyncio.sleep(POLL_SECONDS)
    yield line(envelope.chunk({"content": second}))
    yield _end(envelope, "stop")
    yield DONE


def _end(envelope: Envelope, reason: str) -> bytes:
    total = INPUT_TOKENS + OUTPUT_TOKENS
    usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total}
    return line(envelope.chunk({}, finish_reason=reason)) + line(envelope.usage_chunk(usage))


def _offered(wanted: RoutedRequest) -> str:
    """The name under which the check's tool is offered; empty if it is not."""
    functions = [tool.get("function") for tool in wanted.tools]
    names = [str(function.get("name")) for function in functions if isinstance(function, dict)]
    return next((name for name in names if split_name(name)[0] == TOOL), "")


def _has_result(wanted: RoutedRequest) -> bool:
    """LibreChat sends a tool's result as a tool message, or flattened into a user message."""
    return any(message.get("role") in {"assistant", "tool"} for message in wanted.messages) or (
        sum(message.get("role") == "user" for message in wanted.messages) > 1
    )


def _call_of(name: str, check_id: UUID) -> dict[str, object]:
    function = {"name": name, "arguments": "{}"}
    return {"index": 0, "id": f"call_{check_id.hex[:24]}", "type": "function", "function": function}
