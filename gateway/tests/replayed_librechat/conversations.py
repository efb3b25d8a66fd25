"""The stored conversations and their message trees, each belonging to one account."""

from dataclasses import dataclass, field

from gateway.tests.replayed_librechat.answers import Json
from gateway.tests.replayed_librechat.identity import object_id, timestamp

SUMMARY = (
    "conversationId", "user", "createdAt", "title", "chatProjectId", "endpoint", "agent_id", "model",
    "updatedAt", "_id",
)  # fmt: skip
SETTINGS = ("promptPrefix", "temperature", "max_tokens")


@dataclass
class Conversation:
    id: str
    user_id: str
    fields: Json
    messages: dict[str, Json] = field(default_factory=dict)  # by messageId, oldest first
    row_ids: dict[str, str] = field(default_factory=dict)  # messageId -> MongoDB's id

    def row_id(self, message_id: str) -> str:
        return self.row_ids.setdefault(message_id, object_id())

    def store(self, message: Json) -> None:
        """Inserts the message or replaces the one with its id."""
        now = timestamp()
        known = self.messages.get(message["messageId"], {})
        defaults = {"expiredAt": None, "isTemporary": False, "unfinished": False, "error": False}
        stored = {**defaults, "createdAt": now, **known, **message, "updatedAt": now}
        self.row_id(message["messageId"])
        self.messages[message["messageId"]] = stored

    def set(self, **fields: object) -> None:
        self.fields |= {**fields, "updatedAt": timestamp()}

    def chain(self, message_id: str) -> list[Json]:
        """The stored messages from the root to this one; empty if it is not stored."""
        found: list[Json] = []
        while message := self.messages.get(message_id):
            found.append(message)
            message_id = message["parentMessageId"]
        return found[::-1]

    def as_json(self) -> Json:
        return self.fields | {"messages": list(self.row_ids.values())}


class Conversations:
    """All accounts' conversations; another account's is treated as nonexistent."""

    def __init__(self) -> None:
        self.by_id: dict[str, Conversation] = {}

    def is_foreign(self, conversation_id: str, user_id: str) -> bool:
        known = self.by_id.get(conversation_id)
        return known is not None and known.user_id != user_id

    def get(self, conversation_id: str, user_id: str) -> Conversation | None:
        known = self.by_id.get(conversation_id)
        return known if known is not None and known.user_id == user_id else None

    def open(self, conversation_id: str, user_id: str, body: Json) -> Conversation:
        """The conversation with the settings of this chat call; an unknown id is created."""
        if conversation_id not in self.by_id:
            fields = _new_fields(conversation_id, user_id)
            self.by_id[conversation_id] = Conversation(conversation_id, user_id, fields)
        conversation = self.by_id[conversation_id]
        endpoint, model = body["endpoint"], body["model"]
        conversation.set(
            endpoint=endpoint,
            endpointType=body.get("endpointType"),
            agent_id=f"{endpoint}__{model}",
            model=model,
            maxContextTokens=body["maxContextTokens"],
            isTemporary=bool(body.get("isTemporary")),
            **{key: body[key] for key in SETTINGS if body.get(key) is not None},
        )
        return conversation

    def page(self, user_id: str, limit: int, cursor: str | None) -> Json:
        """The newest first; the cursor is the sort key of the last conversation on the page."""
        mine = [item for item in self.by_id.values() if item.user_id == user_id]
        mine.sort(key=_sort_key, reverse=True)
        rest = [item for item in mine if cursor is None or _sort_key(item) < cursor]
        more = len(rest) > limit
        shown = [{key: item.fields[key] for key in SUMMARY} for item in rest[:limit]]
        return {"conversations": shown, "nextCursor": _sort_key(rest[limit - 1]) if more else None}

    def delete(self, conversation: Conversation) -> Json:
        del self.by_id[conversation.id]
        return {
            "acknowledged": True,
            "deletedCount": 1,
            "messages": {"acknowledged": True, "deletedCount": len(conversation.messages)},
            "conversationIds": [conversation.id],
        }


def _sort_key(conversation: Conversation) -> str:
    return f"{conversation.fields['updatedAt']} {conversation.id}"


def _new_fields(conversation_id: str, user_id: str) -> Json:
    now = timestamp()
    return {
        "conversationId": conversation_id,
        "user": user_id,
        "_id": object_id(),
        "createdAt": now,
        "__v": 0,
        "title": "New Chat",
        "isArchived": False,
        "tags": [],
        "chatProjectId": None,
        "files": [],
        "resendFiles": True,
        "expiredAt": None,
        "updatedAt": now,
    }
