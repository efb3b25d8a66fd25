"""`POST /v1/moderations`: one metered call for OpenAI's clients.

Protocol: https://platform.openai.com/docs/api-reference/moderations
"""

from gateway.api.embeddings import WholeCallConsumer
from gateway.models import Turn
from gateway.turns.embedding_request import check_structure
from gateway.turns.moderation_request import ModerationCall, ModerationSerializer
from kit.body_validation import validated


class ModerationsConsumer(WholeCallConsumer):
    async def handle(self, body: bytes) -> None:
        check_structure(body)
        raw = self.json_body(body)
        call = ModerationCall.from_body(raw, validated(ModerationSerializer, raw, ignores_unknown=True))
        answer, _ = await self.answer_of(Turn.Kind.MODERATION, call)
        moderation_id = answer.id or f"modr-{self.origin.request_id}"
        await self.send_json(200, {"id": moderation_id, "model": call.model, "results": answer.results})
