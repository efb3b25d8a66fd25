"""The routes for messages, conversations and the instance's configuration."""

from gateway.tests.replayed_librechat.accounts import Account
from gateway.tests.replayed_librechat.answers import (
    Send,
    answer,
    answer_json,
    answer_text,
    compact,
)
from gateway.tests.replayed_librechat.conversations import Conversation, Conversations
from gateway.tests.replayed_librechat.knobs import Knobs
from gateway.tests.replayed_librechat.request import Request

CUSTOM = {"order": 9999, "type": "custom", "userProvide": False, "userProvideURL": False}


async def answer_stored(
    knobs: Knobs,
    conversations: Conversations,
    request: Request,
    account: Account,
    send: Send,
) -> None:
    match request.route:
        case ("GET", "api", "messages", conversation_id):
            await _show_messages(conversations.get(conversation_id, account.id), send)
        case ("GET", "api", "convos"):
            limit = int(request.query.get("limit", "25"))
            page = conversations.page(account.id, limit, request.query.get("cursor"))
            await answer_json(send, 200, page)
        case ("GET", "api", "convos", conversation_id):
            await _show(conversations.get(conversation_id, account.id), send)
        case ("POST", "api", "convos", "update"):
            await _rename(_meant(conversations, request, account), request, send)
        case ("DELETE", "api", "convos"):
            await _delete(conversations, _meant(conversations, request, account), send)
        case ("GET", "api", "endpoints"):
            await answer_text(send, 200, compact(dict.fromkeys(knobs.endpoints, CUSTOM)))
        case ("GET", "api", "models"):
            await answer_json(send, 200, knobs.endpoints)
        case ("GET", "api", "config"):
            await answer_json(send, 200, {"appTitle": "LibreChat"} | knobs.build)
        case _:
            await answer_json(send, 404, {"message": "Endpoint not found"})


async def _show_messages(conversation: Conversation | None, send: Send) -> None:
    if conversation is None:
        await answer_json(send, 404, {"error": "Conversation not found"})
    else:
        await answer_json(send, 200, list(conversation.messages.values()))


async def _show(conversation: Conversation | None, send: Send) -> None:
    if conversation is None:
        await answer(send, 404, "")
    else:
        await answer_json(send, 200, conversation.as_json())


async def _rename(conversation: Conversation | None, request: Request, send: Send) -> None:
    if conversation is None:
        await answer_text(send, 500, "Error updating conversation")
    else:
        conversation.set(title=request.body["arg"]["title"])
        await answer_json(send, 201, conversation.as_json())


async def _delete(conversations: Conversations, conversation: Conversation | None, send: Send) -> None:
    """Another account's and an unknown one look the same: a 500, not a 404."""
    if conversation is None:
        await answer_text(send, 500, "Error clearing conversations")
    else:
        await answer_json(send, 201, conversations.delete(conversation))


def _meant(conversations: Conversations, request: Request, account: Account) -> Conversation | None:
    arg = request.body.get("arg") or {}
    return conversations.get(arg.get("conversationId", ""), account.id)
