"""Answers the model call of an engine check: fixed words, a fixed count, no provider and no bill."""

import asyncio
import time
from collections.abc import AsyncGenerator
from uuid import UUID

from accounts.engine_checks import may_end, note_call
from gateway.egress.openai_chunks import DONE, Envelope, line
from gateway.egress.routed_requests import ROUTED
from kit.errors import NotFound
from kit.tenancy import in_public

WORDS = ("Switchyard ", "is here.")
INPUT_TOKENS, OUTPUT_TOKENS = 3, 4
HELD_TRIES, HELD_PAUSE = 100, 0.1  # how often and how far apart it is asked whether the reply may end


async def find_check(header: dict[str, str]) -> UUID:
    """The check under way that the call belongs to. NotFound."""
    check_id = await in_public(
        note_call,
        message=header.get("x-message", ""),
        conversation=header.get("x-conversation", ""),
        engine_user_id=header.get("x-engine-user", ""),
    )
    if check_id is None:
        raise NotFound
    return check_id


async def check_answer(check_id: UUID) -> AsyncGenerator[bytes, None]:
    """Lines as a metered call's; held open until the check has seen it run."""
    envelope = Envelope(check_id, int(time.time()), ROUTED)
    yield b""
    first, second = WORDS
    yield line(envelope.chunk({"role": "assistant", "content": first}))
    for _ in range(HELD_TRIES):
        if await in_public(may_end, check_id):
            break
        await asyncio.sleep(HELD_PAUSE)
    yield line(envelope.chunk({"content": second}))
    total = INPUT_TOKENS + OUTPUT_TOKENS
    usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total}
    yield line(envelope.chunk({}, "stop")) + line(envelope.usage_chunk(usage))
    yield DONE
