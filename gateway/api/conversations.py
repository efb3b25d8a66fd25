"""REST for conversations and turns; streaming routes are in turn_consumers.py."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView
from accounts.policy import Action
from accounts.principals import in_workspace
from accounts.teams.api.tenant import PAGING
from gateway.api.images import ImageSerializer
from gateway.conversations import services as conversations
from gateway.conversations.engine_copies import engine_texts, text_of
from gateway.conversations.images import as_data, images_of
from gateway.conversations.inputs import ConversationChange
from gateway.models import Conversation, Message, Turn
from gateway.turns.approval_answers import answer_approval, approval_data
from gateway.turns.closing import stored_usage
from gateway.turns.event_json import usage_data
from gateway.turns.event_stream import visible_turn
from gateway.turns.inputs import ApprovalInput
from kit.api import Pages
from kit.inputs import read_body, serializer_of
from kit.older_names import by_either_name
from quotas.models import UsageRecord

ConversationChangeSerializer = extend_schema_serializer(component_name="Change")(
    serializer_of(ConversationChange)
)


class ConversationSerializer(serializers.ModelSerializer[Conversation]):
    running = serializers.BooleanField(read_only=True)
    shared = serializers.BooleanField(source="is_shared", help_text="Everyone in the workspace can read it")

    class Meta:
        model = Conversation
        fields = (
            "id",
            "title",
            "user_id",
            "shared",
            "running",
            "turn_count",
            "total_tokens",
            "engine",
            "created_at",
            "last_turn_at",
        )


class UsageSerializer(serializers.Serializer[Any]):
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="Part of the input, from the provider's cache")
    reasoning_tokens = serializers.IntegerField(help_text="Part of the output")
    cost = serializers.IntegerField(
        allow_null=True, help_text="Millionths of the currency; null if the model has no price"
    )
    exactness = serializers.ChoiceField(choices=UsageRecord.Exactness.choices)
    model = serializers.CharField(required=False, help_text="The model that gave the last answer")
    provider = serializers.CharField(required=False)
    call_ids = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="The turn's model calls in the ledger"
    )


class CheckSerializer(serializers.Serializer[Any]):
    check = serializers.CharField(help_text="What was checked, such as `role`, `model`, `mcp` or `quota`")
    allowed = serializers.BooleanField()
    reason = serializers.CharField()
    code = serializers.CharField(required=False, help_text="The error's, if it is not allowed")
    details = serializers.DictField(required=False)


class DecisionSerializer(serializers.Serializer[Any]):
    allowed = serializers.BooleanField()
    checks = CheckSerializer(many=True)


@extend_schema_field(DecisionSerializer)
class DecisionField(serializers.JSONField):
    """A stored decision, as it is."""


@extend_schema_field(
    {"allOf": [{"$ref": "#/components/schemas/ErrorDetail"}], "nullable": True, "description": "If it failed"}
)
class ErrorField(serializers.JSONField):
    """A stored error, as it is."""


class SourceSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(help_text="`http` or `https`")
    title = serializers.CharField(help_text="May be empty")


class MessageSerializer(serializers.ModelSerializer[Message]):
    content = serializers.SerializerMethodField()
    model = serializers.CharField(source="turn.model")
    turn_id = serializers.UUIDField()
    user_id = serializers.UUIDField(source="turn.user_id", help_text="The person who asked")
    finish_reason = serializers.SerializerMethodField()
    usage = serializers.SerializerMethodField()
    images = serializers.SerializerMethodField()
    sources = SourceSerializer(many=True, read_only=True, help_text="What a reply cites")
    image_urls = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="Images of a reply that are elsewhere"
    )

    class Meta:
        model = Message
        fields = (
            "id",
            "role",
            "content",
            "created_at",
            "turn_id",
            "user_id",
            "model",
            "finish_reason",
            "usage",
            "images",
            "sources",
            "image_urls",
        )

    def get_content(self, message: Message) -> str:
        return text_of(message, message.turn, self.context["engine_texts"])

    def get_finish_reason(self, message: Message) -> str | None:
        return message.turn.finish_reason if message.role == Message.Role.ASSISTANT else None

    @extend_schema_field(UsageSerializer(allow_null=True))
    def get_usage(self, message: Message) -> dict[str, Any] | None:
        return turn_usage_data(message.turn) if message.role == Message.Role.ASSISTANT else None

    @extend_schema_field(ImageSerializer(many=True))
    def get_images(self, message: Message) -> list[dict[str, Any]]:
        return as_data(message.image_ids, self.context["images"])


class TurnSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    conversation_id = serializers.UUIDField(allow_null=True)
    previous_id = serializers.UUIDField(allow_null=True, help_text="The previous turn")
    is_current = serializers.BooleanField(help_text="On the current branch: not replaced by another turn")
    status = serializers.CharField()
    finish_reason = serializers.ChoiceField(choices=Turn.FinishReason.choices, allow_null=True)
    model = serializers.CharField()
    reply = serializers.CharField()
    error = ErrorField()
    decision = DecisionField()
    usage = UsageSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class ConversationPageSerializer(serializers.Serializer[Any]):
    """One page of conversations."""

    data = ConversationSerializer(many=True)  # type: ignore[assignment]  # a field called data
    has_more = serializers.BooleanField()
    next = serializers.CharField(allow_null=True)


class MessagePageSerializer(serializers.Serializer[Any]):
    """One page of messages."""

    data = MessageSerializer(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()
    next = serializers.CharField(allow_null=True)


class ConversationPages(Pages):
    ordering = ("-last_turn_at", "-id")


class MessagePages(Pages):
    ordering = ("created_at", "id")


class ConversationsView(PolicyView):
    policy: ClassVar = {"GET": Action.CONVERSATIONS_VIEW}

    @extend_schema(
        operation_id="conversations",
        tags=["conversations"],
        parameters=[
            *PAGING,
            OpenApiParameter("workspace", str, description="The workspace's slug; default: yours"),
            OpenApiParameter("workspace_id", str, description="Older name of `workspace`", deprecated=True),
        ],
        responses=ConversationPageSerializer,
    )
    def get(self, request: Request) -> Response:
        """Lists your conversations in a workspace and those shared with it, the latest first."""
        slug = by_either_name(request.query_params, "workspace", "workspace_id")
        principal = in_workspace(self.principal, slug)
        pages = ConversationPages()
        rows = pages.paginate_queryset(conversations.listed_conversations(principal), request, self)
        return pages.get_paginated_response(ConversationSerializer(rows, many=True).data)


class ConversationView(PolicyView):
    policy: ClassVar = {
        "GET": Action.CONVERSATIONS_VIEW,
        "PATCH": Action.CONVERSATIONS_CHANGE,
        "DELETE": Action.CONVERSATIONS_CHANGE,
    }

    @extend_schema(operation_id="conversation", tags=["conversations"], responses=ConversationSerializer)
    def get(self, request: Request, conversation_id: UUID) -> Response:
        """Returns one of your conversations, or one shared with the workspace."""
        found = conversations.open_conversation(self.principal, conversation_id)
        return Response(ConversationSerializer(found).data)

    @extend_schema(
        operation_id="change_conversation",
        tags=["conversations"],
        request=ConversationChangeSerializer,
        responses=ConversationSerializer,
    )
    def patch(self, request: Request, conversation_id: UUID) -> Response:
        """Renames a conversation or shares it with the workspace; only its owner can."""
        change = read_body(ConversationChange, request.data)
        changed = conversations.change_conversation(
            principal=self.principal,
            conversation_id=conversation_id,
            title=change.title,
            shared=change.shared,
        )
        return Response(ConversationSerializer(changed).data)

    @extend_schema(operation_id="delete_conversation", tags=["conversations"], responses={204: None})
    def delete(self, request: Request, conversation_id: UUID) -> Response:
        """Deletes a conversation and its messages permanently."""
        conversations.delete_conversation(principal=self.principal, conversation_id=conversation_id)
        return Response(status=204)


class MessagesView(PolicyView):
    policy: ClassVar = {"GET": Action.CONVERSATIONS_VIEW}

    @extend_schema(
        operation_id="messages",
        tags=["conversations"],
        parameters=PAGING,
        responses=MessagePageSerializer,
    )
    def get(self, request: Request, conversation_id: UUID) -> Response:
        """Lists the messages of the current branch, the oldest first, with the engine's texts."""
        found = conversations.open_conversation(self.principal, conversation_id)
        pages = MessagePages()
        rows = pages.paginate_queryset(conversations.messages_of(found), request, self)
        images = images_of(rows)
        texts = engine_texts(found)
        return pages.get_paginated_response(
            MessageSerializer(rows, many=True, context={"engine_texts": texts, "images": images}).data
        )


class TurnView(PolicyView):
    policy: ClassVar = {"GET": Action.CONVERSATIONS_VIEW}

    @extend_schema(operation_id="turn", tags=["chat"], responses=TurnSerializer)
    def get(self, request: Request, turn_id: UUID) -> Response:
        """Returns a turn of yours or of a shared conversation: its reply so far, and why it was admitted."""
        return Response(turn_data(visible_turn(self.principal, turn_id)))


def turn_data(turn: Turn) -> dict[str, Any]:
    return {
        "id": str(turn.id),
        "conversation_id": str(turn.conversation_id) if turn.conversation_id else None,
        "previous_id": str(turn.previous_id) if turn.previous_id else None,
        "is_current": turn.is_current,
        "status": turn.status,
        "finish_reason": turn.finish_reason or None,
        "model": turn.model,
        "reply": turn.reply,
        "error": turn.error,
        "decision": turn.decision,
        "usage": turn_usage_data(turn) if turn.is_done else None,
        "created_at": turn.created_at,
        "finished_at": turn.finished_at,
    }


def turn_usage_data(turn: Turn) -> dict[str, Any]:
    return usage_data(stored_usage(turn))


class ApprovalSerializer(serializers.Serializer[Any]):
    decision = serializers.CharField(help_text="`allowed` or `refused`")


class ApprovalView(PolicyView):
    policy: ClassVar = {"POST": Action.CHAT}

    @extend_schema(
        operation_id="answer_approval",
        tags=["chat"],
        request=serializer_of(ApprovalInput),
        responses=ApprovalSerializer,
    )
    def post(self, request: Request, turn_id: UUID, approval_id: UUID) -> Response:
        """Answers a tool call of your turn that waits for a person: the event `approval` names it."""
        state = answer_approval(
            principal=self.principal,
            turn_id=turn_id,
            approval_id=approval_id,
            decision=read_body(ApprovalInput, request.data).decision,
        )
        return Response(approval_data(state))
