"""`POST /v1/moderations`: one metered call for OpenAI's clients.

Protocol: https://platform.openai.com/docs/api-reference/moderations
"""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from gateway.api.whole_calls import WholeCallConsumer, Write
from gateway.models import Turn
from gateway.turns.kept_answer import RequestKey
from gateway.turns.moderation_request import ModerationCall, ModerationSerializer
from gateway.turns.services import StartedCall, start_call
from kit.body_validation import validated
from quotas.prices import Usage


class ModerationsConsumer(WholeCallConsumer):
    async def start(self, body: dict[str, Any], key: RequestKey | None) -> tuple[StartedCall, Write]:
        data = validated(ModerationSerializer, body, ignores_unknown=True)
        call = ModerationCall.from_body(body, data)
        started = await start_call(self.principal, Turn.Kind.MODERATION, call, key)
        return started, partial(_pieces, call, self.origin.request_id)


async def _pieces(call: ModerationCall, request_id: str, answer: Any, usage: Usage) -> AsyncIterator[bytes]:
    """The response in OpenAI's format."""
    found = {"id": answer.id or f"modr-{request_id}", "model": call.model, "results": answer.results}
    yield json.dumps(found).encode()
