"""Stored responses: reading one, its input items, and deleting it. Protocol: OpenAI's Responses API."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView
from accounts.policy import Action
from accounts.principals import Principal
from gateway.api.openai_models import OpenAIErrorMixin
from gateway.api.openai_wire import error_body, wire_status
from gateway.api.responses.envelope import ResponseHead
from gateway.api.responses.history import builder_of, items_status, numbered_input
from gateway.api.responses.ids import turn_of_response
from gateway.api.responses.output import whole_output
from gateway.api.responses.schema import (
    DeletedResponseSerializer,
    InputItemsSerializer,
    ResponseSerializer,
)
from gateway.errors import UnsupportedParameter
from gateway.providers.base import JsonObject
from gateway.turns.event_json import reply_events
from gateway.turns.stored_response import StoredReply, delete_response, read_response
from kit import request_origin
from kit.api import translate
from kit.errors import InvalidInput, NotFound, restore

PAGE, LARGEST_PAGE = 20, 100
ENCRYPTED = "reasoning.encrypted_content"
INCLUDE = OpenApiParameter("include", str, many=True, description=f"`{ENCRYPTED}` is known here.")


class ResponseErrorMixin(OpenAIErrorMixin):
    """Bad input is a 400 here."""

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        error = translate(exc)
        if error is not None:
            response.status_code = wire_status(error)
            response.data = error_body(error, request_origin.current().request_id)
        return response


class ResponseView(ResponseErrorMixin, PolicyView):
    policy: ClassVar = {"GET": Action.CONVERSATIONS_VIEW, "DELETE": Action.CONVERSATIONS_CHANGE}

    @extend_schema(
        operation_id="response", tags=["openai"], parameters=[INCLUDE], responses=ResponseSerializer
    )
    def get(self, request: Request, response_id: str) -> Response:
        """Returns one of your stored responses, running or done."""
        if request.query_params.get("stream") in {"true", "True", "1"}:
            raise UnsupportedParameter("stream", "Follow a running response by its conversation.")
        reply = read_response(principal=self.principal, turn_id=_turn_id(response_id))
        return Response(response_data(self.principal, reply, encrypts=ENCRYPTED in _includes(request)))

    @extend_schema(operation_id="delete_response", tags=["openai"], responses=DeletedResponseSerializer)
    def delete(self, request: Request, response_id: str) -> Response:
        """Deletes one of your stored responses, and its messages in the conversation."""
        delete_response(principal=self.principal, turn_id=_turn_id(response_id))
        return Response({"id": response_id, "object": "response", "deleted": True})


class InputItemsView(ResponseErrorMixin, PolicyView):
    policy: ClassVar = {"GET": Action.CONVERSATIONS_VIEW}

    @extend_schema(
        operation_id="response_input_items",
        tags=["openai"],
        parameters=[
            INCLUDE,
            OpenApiParameter("after", str, description="The id of an item: those after it are listed."),
            OpenApiParameter("limit", int, description=f"1 to {LARGEST_PAGE}; default {PAGE}."),
            OpenApiParameter("order", str, enum=["asc", "desc"], description="Default: `desc`."),
        ],
        responses=InputItemsSerializer,
    )
    def get(self, request: Request, response_id: str) -> Response:
        """Lists the input items of one of your stored responses."""
        limit, order = _limit(request), request.query_params.get("order", "desc")
        if order not in ("asc", "desc"):
            raise InvalidInput(order=["Send asc or desc."])
        reply = read_response(principal=self.principal, turn_id=_turn_id(response_id))
        items = numbered_input(reply)
        if order == "desc":
            items.reverse()
        if after := request.query_params.get("after"):
            at = next((at for at, item in enumerate(items) if item["id"] == after), None)
            if at is None:
                raise InvalidInput(after=["This response has no item with this id."])
            items = items[at + 1 :]
        page = items[:limit]
        return Response(
            {
                "object": "list",
                "data": page,
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
                "has_more": len(items) > len(page),
            }
        )


def response_data(principal: Principal, reply: StoredReply, *, encrypts: bool) -> JsonObject:
    """A stored response as `GET` shows it."""
    builder = builder_of(reply, principal.tenant.id, encrypts=encrypts)
    whole_output(builder, reply_events(reply.parts), items_status(reply))
    head = ResponseHead(
        turn_id=reply.turn_id,
        created_at=int(reply.created_at.timestamp()),
        model=str(reply.request.get("model") or reply.model),
        shown=reply.request,
        conversation_id=str(reply.conversation_id),
    )
    return head.response(
        finish_reason=reply.finish_reason,
        output=builder.output,
        usage=reply.usage,
        error=restore(reply.error) if reply.error else None,
        completed_at=int(reply.finished_at.timestamp()) if reply.finished_at else None,
        model=builder.model,
        extras=builder.extras,
    )


def _turn_id(response_id: str) -> UUID:
    found = turn_of_response(response_id)
    if found is None:
        raise NotFound
    return found


def _includes(request: Request) -> list[str]:
    params: Any = request.query_params
    return [*params.getlist("include"), *params.getlist("include[]")]


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", str(PAGE))
    if not given.isdecimal() or len(given) > len(str(LARGEST_PAGE)) or not 1 <= int(given) <= LARGEST_PAGE:
        raise InvalidInput(limit=[f"Send a number from 1 to {LARGEST_PAGE}."])
    return int(given)
