"""`POST /v1/embeddings`: one metered call for OpenAI's clients.

Protocol: https://platform.openai.com/docs/api-reference/embeddings
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from gateway.api.whole_calls import WholeCallConsumer, Write
from gateway.models import Turn
from gateway.providers.embeddings import BASE64, Embeddings, Vector, as_base64, as_floats
from gateway.turns.embedding_request import EmbeddingCall, EmbeddingSerializer
from gateway.turns.kept_answer import RequestKey
from gateway.turns.services import StartedCall, start_call
from kit.body_validation import validated
from quotas.prices import Usage

FAIR_BYTES = 64 * 1024  # of a response, after which other tasks may run


class EmbeddingsConsumer(WholeCallConsumer):
    async def start(self, body: dict[str, Any], key: RequestKey | None) -> tuple[StartedCall, Write]:
        data = validated(EmbeddingSerializer, body, ignores_unknown=True)  # others are passed on
        call = EmbeddingCall.from_body(body, data)
        return await start_call(self.principal, Turn.Kind.EMBEDDING, call, key), partial(_pieces, call)


async def _pieces(call: EmbeddingCall, embeddings: Embeddings, usage: Usage) -> AsyncIterator[bytes]:
    """The response in OpenAI's format."""
    encode: Callable[[Vector], Any] = as_base64 if call.encoding_format == BASE64 else as_floats
    piece = '{"object": "list", "data": ['
    for at, vector in enumerate(embeddings.vectors):
        item = {"object": "embedding", "index": at, "embedding": encode(vector)}
        piece += f"{', ' if at else ''}{json.dumps(item)}"
        if len(piece) > FAIR_BYTES:
            yield piece.encode()
            piece = ""
            await asyncio.sleep(0)
    counts = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    yield f'{piece}], "model": {json.dumps(call.model)}, "usage": {json.dumps(counts)}}}'.encode()
