"""Describes the consumers' routes to drf-spectacular as views that are never called.

The bodies come from the serializers that the consumers validate with, so the two cannot differ; a test
compares the paths with those in gateway/api/routes.py.
"""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.views import APIView

from config.openapi_compatible_events import RESPONSE_EVENTS, RESPONSES_FRAMING
from config.openapi_events import FRAMING, NAMED_EVENTS
from config.openapi_messages import CountTokensView, MessagesView
from config.openapi_schemas import STREAM, ref, streamed
from gateway.api.conversations import DecisionSerializer, UsageSerializer
from gateway.api.responses.schema import InputTokensSerializer, ResponseSerializer, ResponsesSerializer
from gateway.models import Turn
from gateway.turns.completion_request import CompletionSerializer
from gateway.turns.embedding_request import EmbeddingSerializer
from gateway.turns.moderation_request import ModerationSerializer
from gateway.turns.requests import LONGEST_KEY, SendSerializer
from workspaces.api import FiguresSerializer

EVENTS = """
With `Accept: text/event-stream` the reply arrives as server-sent events, each with an increasing `id`; ignore
unknown events. A comment (`: ping`) is sent at least every 10 seconds. Resume a stream that ends
without `done`: `GET /v1/chat/turns/{turn_id}/events` with `Last-Event-ID`.

| event | data |
|---|---|
| `started` | `conversation_id`, `turn_id`, `model` |
| `answering` | `model`, `provider`, `call_id`: which model answers, the one asked for or a fallback |
| `delta`, `reasoning` | `text` |
| `refusal` | `text`: the model refuses, in its own words |
| `extra` | `place`, `name`, `value`: a field of the provider's answer, such as `annotations` |
| `tool_call` | `call_id`, `server`, `tool`, `arguments` |
| `tool_result` | `call_id`, `output`, `is_error`, `duration_ms` |
| `approval` | the person who asked must allow a call: `approval_id`, `expires_at`, the data of `tool_call` |
| `approval_resolved` | `approval_id`, `call_id`, `decision`: `allowed`, `refused` or `expired` |
| `notice` | `kind`, `text`, and the data of that kind. `retry`, `fallback`: the model's provider failed; \
`history_restored`: the engine had lost earlier messages; Switchyard sent its own copy |
| `replace` | `positions`: discard the whole reply so far, from `delta` to `notice`, that many positions; \
the complete reply follows in new events |
| `usage` | `input_tokens`, `output_tokens`, `total_tokens`, `cached_tokens`, `reasoning_tokens`, `cost`, \
`exactness`, `quota`, and `model`, `provider`, `call_ids` if a model answered; before `done` |
| `error` | `error`: the one error shape; before `usage` and `done` |
| `done` | exactly one, always last; `finish_reason`: `stop`, `length`, `tool_limit`, `content_filter`, \
`cancelled`, `quota_exceeded`, `interrupted`, `error` |
| `moved` | `turn_id`, `text`; no `id`. The server restarts and ends the stream, while the reply continues: \
resume after the pause in `retry` |

Answer an approval with `POST /v1/chat/turns/{turn_id}/approvals/{approval_id}`, also for turns that were
sent over the socket.
"""

EVENT_STREAM = streamed(ref(NAMED_EVENTS), FRAMING)
CHUNK_STREAM = streamed(
    ref("ChatCompletionChunk"),
    "Server-sent events without names: `data:` lines, each with a `chat.completion.chunk` object in JSON, at"
    " the end `data: [DONE]`. Lines that begin with `:` are comments. An error is an object with `error`.",
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "maxLength": LONGEST_KEY},
    OpenApiParameter.HEADER,
    description="The same key and body return the same turn; the same key with another body is a 409.",
)
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    {"type": "integer", "minimum": 0},
    OpenApiParameter.HEADER,
    description="The id of the last event you received; the stream continues after it.",
)


class ReplySerializer(serializers.Serializer[Any]):
    """A whole turn, for clients without a stream."""

    conversation_id = serializers.UUIDField()
    turn_id = serializers.UUIDField()
    reply = serializers.CharField()
    finish_reason = serializers.ChoiceField(choices=Turn.FinishReason.choices)
    usage = UsageSerializer()
    quota = FiguresSerializer(allow_null=True)


class StopSerializer(serializers.Serializer[Any]):
    turn_id = serializers.UUIDField()
    status = serializers.CharField()


class SendView(APIView):
    @extend_schema(
        operation_id="send",
        tags=["chat"],
        description="Sends a message and returns the model's reply. Without `conversation_id` it"
        " starts a conversation. The turn continues if the client leaves: follow it again, or stop it.\n"
        + EVENTS,
        parameters=[IDEMPOTENCY_KEY],
        request=SendSerializer,
        responses={(200, "application/json"): ReplySerializer, (200, STREAM): EVENT_STREAM},
    )
    def post(self) -> None: ...


class ExplainView(APIView):
    @extend_schema(
        operation_id="explain", tags=["chat"], request=SendSerializer, responses=DecisionSerializer
    )
    def post(self) -> None:
        """Explains whether `send` would be allowed, and why, without running anything."""


class EventsView(APIView):
    @extend_schema(
        operation_id="turn_events",
        tags=["chat"],
        description="Streams the events of one of your turns, running or done, after `Last-Event-ID`.\n"
        + EVENTS,
        parameters=[LAST_EVENT_ID],
        responses={(200, STREAM): EVENT_STREAM},
    )
    def get(self) -> None: ...


class StopView(APIView):
    @extend_schema(operation_id="stop_turn", tags=["chat"], request=None, responses={202: StopSerializer})
    def post(self) -> None:
        """Stops one of your turns; the reply so far is stored and charged."""


class CompletionsView(APIView):
    @extend_schema(
        operation_id="completions",
        tags=["openai"],
        description="Creates a chat completion. OpenAI's clients work with only `base_url` and `api_key`"
        " changed. With `stream` the answer is `data:` lines of `chat.completion.chunk` objects and ends with"
        " `data: [DONE]`. Parameters that are not listed are passed on to the provider too.",
        request=CompletionSerializer,
        responses={(200, "application/json"): ref("ChatCompletion"), (200, STREAM): CHUNK_STREAM},
    )
    def post(self) -> None: ...


class InputTokensView(APIView):
    @extend_schema(
        operation_id="input_tokens",
        tags=["openai"],
        request=ResponsesSerializer,
        responses=InputTokensSerializer,
    )
    def post(self) -> None:
        """Counts the input tokens of a request for a response, without running it."""


class ResponsesView(APIView):
    @extend_schema(
        operation_id="create_response",
        tags=["openai"],
        description="Creates a response. Clients of OpenAI's Responses API work with only `base_url` and"
        " `api_key` changed. With `stream` the answer is OpenAI's events, from `response.created` to"
        " `response.completed`, `response.incomplete` or `response.failed`, and ends with `data: [DONE]`."
        " A stored response is a turn in one of your conversations; `previous_response_id` continues it.",
        parameters=[IDEMPOTENCY_KEY],
        request=ResponsesSerializer,
        responses={
            (200, "application/json"): ResponseSerializer,
            (200, STREAM): streamed(ref(RESPONSE_EVENTS), RESPONSES_FRAMING),
        },
    )
    def post(self) -> None: ...


class EmbeddingUsageSerializer(serializers.Serializer[Any]):
    prompt_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


@extend_schema_field(
    {
        "oneOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string", "format": "byte"}],
        "description": "Numbers, or with `encoding_format: base64` little-endian 32-bit floats",
    }
)
class VectorField(serializers.JSONField):
    """A vector in either format."""


class EmbeddingItemSerializer(serializers.Serializer[Any]):
    object = serializers.CharField(help_text="embedding")
    index = serializers.IntegerField(help_text="Position of its input")
    embedding = VectorField()


class EmbeddingsSerializer(serializers.Serializer[Any]):
    """A vector per input, in the order of the inputs."""

    object = serializers.CharField(help_text="list")
    data = EmbeddingItemSerializer(many=True)  # type: ignore[assignment]  # a field called data
    model = serializers.CharField()
    usage = EmbeddingUsageSerializer()


class EmbeddingsView(APIView):
    @extend_schema(
        operation_id="embeddings",
        tags=["openai"],
        description="Returns a vector for each input, from a model of the kind `embedding`. Other parameters"
        " are passed on to the provider. Largest body: 32 MB.",
        request=EmbeddingSerializer,
        responses=EmbeddingsSerializer,
    )
    def post(self) -> None: ...


class ModerationResultsSerializer(serializers.Serializer[Any]):
    """The provider's results, one per text."""

    id = serializers.CharField()
    model = serializers.CharField()
    results = serializers.ListField(child=serializers.DictField())


class ModerationsView(APIView):
    @extend_schema(
        operation_id="moderations",
        tags=["openai"],
        description="Classifies texts, or one message of text and images, by a model of the kind"
        " `moderation`. Other parameters are passed on to the provider. Largest body: 32 MB.",
        request=ModerationSerializer,
        responses=ModerationResultsSerializer,
    )
    def post(self) -> None: ...


DESCRIBED: list[tuple[str, str, type[APIView]]] = [
    ("/v1/chat/send", "POST", SendView),
    ("/v1/chat/explain", "POST", ExplainView),
    ("/v1/chat/turns/<uuid:turn_id>/events", "GET", EventsView),
    ("/v1/chat/turns/<uuid:turn_id>/stop", "POST", StopView),
    ("/v1/chat/completions", "POST", CompletionsView),
    ("/v1/messages", "POST", MessagesView),
    ("/v1/messages/count_tokens", "POST", CountTokensView),
    ("/v1/responses", "POST", ResponsesView),
    ("/v1/responses/input_tokens", "POST", InputTokensView),
    ("/v1/embeddings", "POST", EmbeddingsView),
    ("/v1/moderations", "POST", ModerationsView),
]
