"""Writes one reply as a response: the events of a stream, or the whole object.

Protocol: https://platform.openai.com/docs/api-reference/responses-streaming
"""

import json
import time
from collections.abc import Sequence
from uuid import UUID

from gateway.api.model_calls import ReplyWriter
from gateway.api.openai_wire import error_code, error_param
from gateway.api.responses.envelope import ResponseHead, status_of
from gateway.api.responses.output import INCOMPLETE, OutputBuilder
from gateway.api.responses.output_items import COMPLETED
from gateway.models import Turn
from gateway.providers.base import JsonObject
from gateway.providers.openai_chunks import DONE
from gateway.turns.events import Done, TurnEvent, UsageTotal
from kit.errors import DomainError, InternalError
from quotas.prices import Usage
from workspaces.mcp_servers.queries import ServerRef

ENDS = {"completed": "response.completed", "failed": "response.failed"}
END_OF_OTHERS = "response.incomplete"


class ResponseWriter(ReplyWriter):
    """Numbers the events; the last ones are the response and `[DONE]`."""

    def __init__(self, head: ResponseHead, builder: OutputBuilder, servers: Sequence[ServerRef] = ()) -> None:
        """`servers` are those of the workspace whose tools the model may call."""
        self._head = head
        self._servers = servers
        self._builder = builder
        self._number = 0
        self._usage: Usage | None = None
        self._reason = ""
        self._error: DomainError | None = None

    @property
    def turn_id(self) -> UUID:
        return self._head.turn_id

    def begin(self) -> bytes:
        begun = self._head.response()
        created = {"type": "response.created", "response": begun}
        in_progress = {"type": "response.in_progress", "response": begun}
        return self._lines([created, in_progress, *self._builder.list_tools(self._servers)])

    def write(self, event: TurnEvent) -> bytes:
        match event:
            case UsageTotal(usage):
                self._usage = usage
            case Done(reason):
                self._reason = reason
            case _:
                return self._lines(self._builder.add(event))
        return b""

    def fail(self, error: DomainError) -> bytes:
        """The event `error`; the response as failed is the stream's last."""
        self._error = error
        fields = {"code": error_code(error), "message": error.text, "param": error_param(error)}
        return self._lines([{"type": "error", **fields}])

    def end(self) -> bytes:
        if not self._reason and not self._error:
            self._error = InternalError()
        closing = self._builder.close(_status_of_items(self._reason, self._error))
        response = self._response()
        kind = ENDS.get(response["status"], END_OF_OTHERS)
        return self._lines([*closing, {"type": kind, "response": response}]) + DONE

    def whole(self, events: list[TurnEvent]) -> JsonObject:
        self._builder.list_tools(self._servers)
        for event in events:
            self.write(event)
        self._builder.close(_status_of_items(self._reason, self._error))
        return self._response()

    def _response(self) -> JsonObject:
        return self._head.response(
            finish_reason=self._reason,
            output=self._builder.output,
            usage=self._usage,
            error=self._error,
            completed_at=int(time.time()),
            model=self._builder.model,
            extras=self._builder.extras,
        )

    def _lines(self, events: list[JsonObject]) -> bytes:
        return b"".join(self._line(event) for event in events)

    def _line(self, event: JsonObject) -> bytes:
        numbered = {**event, "sequence_number": self._number}
        self._number += 1
        return f"event: {event['type']}\ndata: {json.dumps(numbered, separators=(',', ':'))}\n\n".encode()


def _status_of_items(reason: str, error: DomainError | None) -> str:
    """Of the items that were still being written at the end."""
    is_whole = error is None and status_of(reason) == "completed" and reason != Turn.FinishReason.ERROR
    return COMPLETED if is_whole else INCOMPLETE
