"""`POST /v1/responses`: one metered call for clients of OpenAI's Responses API."""

import time
from uuid import UUID

from gateway.api.model_calls import ModelCallConsumer, ReplyWriter, by_size
from gateway.api.openai_wire import error_body, wire_status
from gateway.api.responses.envelope import ResponseHead
from gateway.api.responses.history import References, read_references, references_of
from gateway.api.responses.input_items import Translation
from gateway.api.responses.output import OutputBuilder
from gateway.api.responses.request import (
    ResponsesRequest,
    client_error,
    model_call,
    parse_request,
    resolved,
)
from gateway.api.responses.writer import ResponseWriter
from gateway.errors import ContextTooLong, ModelLacksAbility, PreviousResponseNotFound
from gateway.providers.base import JsonObject
from gateway.turns.completion_request import CompletionRequest
from gateway.turns.prompt_count import PromptCount, count_prompt
from gateway.turns.services import StartedCompletion
from kit.errors import DomainError
from kit.tenancy import in_tenant

# codex offers web search with every request and cannot learn that there is none, so it is left out there;
# the response's `tools` and this header say so.
CODEX = "codex"
OFFERED_BY_CODEX = frozenset({"web_search", "image_generation"})
LEFT_OUT = "x-switchyard-tools-left-out"


PARAMS: dict[type[DomainError], str] = {
    PreviousResponseNotFound: "previous_response_id",
    ContextTooLong: "input",
    ModelLacksAbility: "input",
}


class ResponsesConsumer(ModelCallConsumer):
    request: ResponsesRequest
    translation: Translation | None = None
    response_writer: ResponseWriter

    def parse(self, body: bytes) -> CompletionRequest:
        """A request that refers to nothing stored."""
        return self._translated(parse_request(self.json_body(body), size=len(body)), References())

    async def read(self, body: bytes) -> CompletionRequest:
        is_codex = self.header.get("originator", "").startswith(CODEX)
        unsupported = OFFERED_BY_CODEX if is_codex else frozenset()
        request = await by_size(
            len(body),
            lambda: parse_request(self.json_body(body), size=len(body), unsupported=unsupported),
        )
        if request.left_out:
            self.response_headers[LEFT_OUT] = ", ".join(request.left_out)
        references = References()
        if request.previous is not None or request.needed_turns:
            path, found = await in_tenant(
                self.principal.tenant,
                read_references,
                principal=self.principal,
                previous=request.previous,
                needed=request.needed_turns,
            )
            references = references_of(self.principal, path, found, request)
        return self._translated(request, references)

    def _translated(self, request: ResponsesRequest, references: References) -> CompletionRequest:
        self.request = request
        call = model_call(
            request,
            tenant_id=self.principal.tenant.id,
            history=references.history,
            items=resolved(request.items, references.known),
        )
        self.translation = call.translation
        return call.completion

    def writer(self, started: StartedCompletion, completion: CompletionRequest) -> ReplyWriter:
        request = self.request
        builder = OutputBuilder(
            started.turn_id,
            tenant_id=self.principal.tenant.id,
            model=completion.model,
            tools=request.tools,
            encrypts=request.encrypts,
            keeps=request.stores,
        )
        head = ResponseHead(
            turn_id=started.turn_id,
            created_at=int(time.time()),
            model=completion.model,
            shown=request.shown,
            conversation_id=_conversation_of(started),
            removed=self.translation.removed if self.translation else (),
        )
        servers = started.running.job.servers if started.running else ()
        self.response_writer = ResponseWriter(head, builder, servers)
        return self.response_writer

    def wire_error(self, error: DomainError) -> tuple[int, JsonObject]:
        named = client_error(error, self.translation)
        body = error_body(named, self.origin.request_id)
        if param := PARAMS.get(type(error)):
            body["error"]["param"] = param
        return wire_status(named), body

    def error_chunk(self, error: DomainError) -> bytes:
        return self.response_writer.fail(client_error(error, self.translation))

    def cut_off_chunk(self, error: DomainError) -> bytes:
        return self.error_chunk(error) + self.response_writer.end()


def _conversation_of(started: StartedCompletion) -> str | None:
    found: UUID | None = started.running.job.conversation_id if started.running else None
    return str(found) if found else None


class InputTokensConsumer(ResponsesConsumer):
    """`POST /v1/responses/input_tokens`: exact where the model's tokenizer or its provider counts."""

    async def handle(self, body: bytes) -> None:
        count = await self.or_gone(self._count(body))
        headers = {"x-switchyard-exactness": "exact" if count.is_exact else "estimated"}
        await self.send_json(200, {"object": "response.input_tokens", "input_tokens": count.tokens}, headers)

    async def _count(self, body: bytes) -> PromptCount:
        return await count_prompt(self.principal, await self.read(body))
