"""`POST /v1/messages` and its count of tokens: one metered call for Anthropic's clients.

Protocol: https://docs.anthropic.com/en/api/messages
"""

from collections.abc import AsyncIterator

from gateway.api.messages.errors import error_body, is_final, wire_status
from gateway.api.messages.inputs import beta_headers
from gateway.api.messages.request import completion_of, expect_bound
from gateway.api.messages.writer import PING, MessageWriter, frame
from gateway.api.model_calls import ModelCallConsumer, ReplyWriter
from gateway.providers.base import JsonObject
from gateway.turns.completion_request import CompletionRequest
from gateway.turns.prompt_count import count_prompt
from gateway.turns.services import StartedCompletion
from kit.errors import DomainError


class MessagesConsumer(ModelCallConsumer):
    def parse(self, body: bytes) -> CompletionRequest:
        fields = self.json_body(body)
        expect_bound(fields)
        return completion_of(fields, self._beta_headers())

    def _beta_headers(self) -> dict[str, str]:
        return beta_headers(self.header.get("anthropic-beta", ""))

    def writer(self, started: StartedCompletion, completion: CompletionRequest) -> ReplyWriter:
        return MessageWriter(f"msg_{started.turn_id.hex}", completion.model)

    def wire_error(self, error: DomainError) -> tuple[int, JsonObject]:
        return wire_status(error), error_body(error, self.origin.request_id)

    def error_chunk(self, error: DomainError) -> bytes:
        return frame(error_body(error, self.origin.request_id))

    async def send_error(self, error: DomainError) -> None:
        if is_final(error):
            self.response_headers["x-should-retry"] = "false"
        await super().send_error(error)

    async def send_stream(self, chunks: AsyncIterator[bytes], *, ping: bytes = PING) -> None:
        await super().send_stream(chunks, ping=ping)

    async def send_start(self, status: int, headers: dict[str, str]) -> None:
        await super().send_start(status, {**headers, "request-id": self.origin.request_id})


class CountTokensConsumer(MessagesConsumer):
    """`POST /v1/messages/count_tokens`: exact where the model's tokenizer or its provider counts."""

    async def handle(self, body: bytes) -> None:
        completion = completion_of(self.json_body(body), self._beta_headers())
        count = await self.or_gone(count_prompt(self.principal, completion))
        exactness = "exact" if count.is_exact else "estimated"
        headers = {"x-switchyard-exactness": exactness}
        await self.send_json(200, {"input_tokens": count.tokens, "exactness": exactness}, headers)
