"""The MCP servers that engines call for tools: one URL for each installation and engine account.

`POST /mcp/<tenant>.<id>` with `Authorization: Bearer <its secret>`. Stateless: any process answers. Without
the secret, as in probes for a sign-in, the response is 404.
"""

import asyncio
import hmac
from typing import Any, ClassVar
from uuid import UUID

import structlog
from django.conf import settings

from accounts.engine_checks import TOOL_CALLED, find_check, note_tool
from gateway.calls.tool_runs import execute_run
from gateway.egress import mcp_protocol
from gateway.egress.check_model import TOOL
from gateway.egress.mcp_protocol import Message
from gateway.egress.routed_calls import running_calls
from gateway.egress.tool_claims import (
    NO_CALL,
    Claim,
    EngineCaller,
    claim_run,
    engine_caller,
    readable_arguments,
    tenant_named,
)
from gateway.providers.base import JsonObject
from kit.errors import NotFound, TurnInterrupted
from kit.http_consumer import ClientGone, HttpConsumer
from kit.tenancy import in_public, in_tenant
from workspaces.mcp_servers.client import ToolOutcome
from workspaces.mcp_servers.queries import ToolRef

log = structlog.get_logger(__name__)
CHECK_TOOL = ToolRef(
    name=TOOL,
    description="Says hello",
    input_schema={"type": "object", "properties": {}},
    definition_hash="",
    needs_approval=False,
    argument_schema=None,
)


class EngineServerConsumer(HttpConsumer):
    """Answers one JSON-RPC message with one JSON document, without sessions and streams."""

    method: ClassVar[str] = "POST"

    @property
    def most_bytes(self) -> int:
        most: int = settings.EGRESS_MAX_BODY_BYTES
        return most

    async def admit(self, body: bytes) -> None:
        kind, _, secret = self.header.get("authorization", "").partition(" ")
        route: dict[str, Any] = self.scope["url_route"]["kwargs"]
        tenant = await in_public(tenant_named, route["tenant"]) if kind == "Bearer" and secret else None
        caller = None
        if tenant is not None:
            caller = await in_tenant(tenant, engine_caller, tenant, UUID(route["id"]), secret)
        if caller is None:
            raise NotFound
        self.caller: EngineCaller = caller

    @property
    def tools(self) -> tuple[ToolRef, ...]:
        return self.caller.tools

    async def handle(self, body: bytes) -> None:
        message = Message.from_body(self.json_body(body))
        if message.id is None:
            await self.send_start(202, {})
            await self.send_body(b"")
            return
        await self.send_json(200, await self._answer_to(message))

    async def _answer_to(self, message: Message) -> JsonObject:
        match message.method:
            case "initialize":
                return message.answer(mcp_protocol.initialized(message.params))
            case "ping":
                return message.answer({})
            case "tools/list":
                return message.answer(mcp_protocol.listed(self.tools))
            case "tools/call":
                return await self._call(message)
        return message.refuse(mcp_protocol.NO_METHOD, "Only tools are supported here.")

    async def _call(self, message: Message) -> JsonObject:
        name, arguments = message.params.get("name"), readable_arguments(message.params)
        if not isinstance(name, str) or arguments is None:
            return message.refuse(
                mcp_protocol.INVALID_PARAMS, "Send the name of a tool and an object of arguments."
            )
        claim = await in_tenant(
            self.caller.tenant, claim_run, caller=self.caller, tool=name, arguments=arguments
        )
        if claim is None:
            log.warning("a tool call that no model made", tenant=self.caller.tenant.slug, tool=name[:128])
            return message.answer(mcp_protocol.called(ToolOutcome(output=NO_CALL, is_error=True)))
        return message.answer(mcp_protocol.called(await self._outcome(claim)))

    async def _outcome(self, claim: Claim) -> ToolOutcome:
        """ClientGone as soon as the engine leaves, TurnInterrupted on a stop: both end the call."""
        with running_calls().running(claim.caller.turn_id, f"tool {claim.run.id}") as call:
            running = asyncio.create_task(execute_run(claim.caller, claim.run))
            try:
                await asyncio.wait({running, self.gone}, return_when=asyncio.FIRST_COMPLETED)
                if not running.done():
                    raise ClientGone
                return running.result()
            except asyncio.CancelledError:
                if not call.was_ended:
                    raise
                raise TurnInterrupted("The turn was stopped.") from None
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


class CheckServerConsumer(EngineServerConsumer):
    """`POST /mcp-check/<id>`: the server that an engine check registers, with one tool that says hello."""

    async def admit(self, body: bytes) -> None:
        secret = self.header.get("authorization", "").removeprefix("Bearer ").encode("latin-1")
        is_known = any(hmac.compare_digest(secret, known.encode()) for known in settings.EGRESS_SECRETS)
        check_id = UUID(self.scope["url_route"]["kwargs"]["id"])
        if not is_known or await in_public(find_check, check_id) is None:
            raise NotFound

    @property
    def tools(self) -> tuple[ToolRef, ...]:
        return (CHECK_TOOL,)

    async def _call(self, message: Message) -> JsonObject:
        if message.params.get("name") != TOOL:
            return message.refuse(mcp_protocol.INVALID_PARAMS, f"The only tool here is {TOOL!r}.")
        await in_public(note_tool, UUID(self.scope["url_route"]["kwargs"]["id"]), TOOL_CALLED)
        return message.answer(mcp_protocol.called(ToolOutcome(output="Hello.", is_error=False)))
