"""Describes the routes for Anthropic's clients to drf-spectacular as views that are never called."""

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.views import APIView

from config.openapi_compatible_events import MESSAGE_EVENTS, MESSAGES_FRAMING
from config.openapi_schemas import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    STREAM,
    TEXT,
    Schema,
    described,
    listed,
    nullable,
    one_of,
    ref,
    streamed,
)

OBJECTS = listed(OBJECT)
BLOCKS = {"oneOf": [TEXT, OBJECTS]}
MESSAGE: Schema = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": one_of("user", "assistant", "system"), "content": BLOCKS},
}
PROMPT: Schema = {
    "model": {**TEXT, "description": "The model's API name, of any provider."},
    "messages": {"type": "array", "minItems": 1, "items": MESSAGE},
    "system": BLOCKS,
    "tools": OBJECTS,
    "tool_choice": OBJECT,
    "thinking": OBJECT,
    "output_config": OBJECT,
}
REQUEST: Schema = {
    "type": "object",
    "required": ["model", "max_tokens", "messages"],
    "additionalProperties": True,
    "properties": {
        **PROMPT,
        "max_tokens": {**INTEGER, "minimum": 1},
        "stream": {**BOOLEAN, "default": False},
        "temperature": NUMBER,
        "top_p": NUMBER,
        "top_k": INTEGER,
        "stop_sequences": listed(TEXT),
        "metadata": OBJECT,
    },
}
USAGE: Schema = {
    "type": "object",
    "required": ["input_tokens", "output_tokens"],
    "properties": {
        "input_tokens": described(INTEGER, "Without those read from, or written to, the cache."),
        "output_tokens": INTEGER,
        "cache_read_input_tokens": INTEGER,
        "cache_creation_input_tokens": INTEGER,
        "cost": {**NUMBER, "description": "In the price list's currency, if the model has a price."},
    },
}
REPLY: Schema = {
    "type": "object",
    "required": ["id", "type", "role", "model", "content", "stop_reason", "usage"],
    "properties": {
        "id": TEXT,
        "type": one_of("message"),
        "role": one_of("assistant"),
        "model": {**TEXT, "description": "The model that answered: the one asked for, or a fallback."},
        "content": OBJECTS,
        "stop_reason": {
            **TEXT,
            "description": "`end_turn`, `max_tokens`, `stop_sequence`, `tool_use`, `pause_turn`, `refusal` or"
            " `model_context_window_exceeded`.",
        },
        "stop_sequence": nullable(TEXT),
        "usage": USAGE,
    },
}
COUNT: Schema = {
    "type": "object",
    "required": ["input_tokens", "exactness"],
    "properties": {
        "input_tokens": INTEGER,
        "exactness": {
            "type": "string",
            "enum": ["exact", "estimated"],
            "description": "`exact` if the model's tokenizer or its provider counted.",
        },
    },
}
BETA = OpenApiParameter(
    "anthropic-beta",
    {"type": "string"},
    OpenApiParameter.HEADER,
    description="Features of Claude models, separated by commas. Other providers do not get it.",
)
HELLO = {"model": "local", "max_tokens": 200, "messages": [{"role": "user", "content": "Hello"}]}
ANSWER = {
    "id": "msg_0192f0c1a2b37c4d8e5f60718293a4b5",
    "type": "message",
    "role": "assistant",
    "model": "local",
    "content": [{"type": "text", "text": "Hello there."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 5,
        "output_tokens": 3,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    },
}


class MessagesView(APIView):
    @extend_schema(
        operation_id="create_message",
        tags=["anthropic"],
        description="Creates a message with any model, in the format of Anthropic's Messages API. Its clients"
        " work with only the base URL and the key changed; the key is also accepted as `x-api-key`. With"
        " `stream` the answer is Anthropic's events, from `message_start` to `message_stop`; an error within"
        " the stream is an event `error`. Errors are Anthropic's, with our `code` and `details` in addition.",
        parameters=[BETA],
        request={"application/json": REQUEST},
        responses={
            (200, "application/json"): REPLY,
            (200, STREAM): streamed(ref(MESSAGE_EVENTS), MESSAGES_FRAMING),
        },
        examples=[
            OpenApiExample("A question", HELLO, request_only=True),
            OpenApiExample("Its answer", ANSWER, response_only=True, media_type="application/json"),
        ],
    )
    def post(self) -> None: ...


class CountTokensView(APIView):
    @extend_schema(
        operation_id="count_message_tokens",
        tags=["anthropic"],
        parameters=[BETA],
        request={
            "application/json": {
                "type": "object",
                "required": ["model", "messages"],
                "additionalProperties": True,
                "properties": PROMPT,
            }
        },
        responses={(200, "application/json"): COUNT},
        examples=[
            OpenApiExample(
                "A question", {"model": "local", "messages": HELLO["messages"]}, request_only=True
            ),
            OpenApiExample("Its size", {"input_tokens": 5, "exactness": "exact"}, response_only=True),
        ],
    )
    def post(self) -> None:
        """Counts the tokens of a message without sending it; nothing is charged."""
