"""The components of the streams of `/v1/responses` and `/v1/messages`: OpenAI's and Anthropic's events.

Protocols: https://platform.openai.com/docs/api-reference/responses-streaming and
https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from config.openapi_schemas import INTEGER, OBJECT, TEXT, Schema, described, nullable, one_of, record, ref

RESPONSE_EVENTS = "ResponseEvent"
MESSAGE_EVENTS = "MessageEvent"
RESPONSES_FRAMING = (
    "Server-sent events: the lines `event:`, with the type, and `data:`, with this object in JSON; at the end"
    " `data: [DONE]`. Lines that begin with `:` are comments."
)
MESSAGES_FRAMING = (
    "Server-sent events: the lines `event:`, with the type, and `data:`, with this object in JSON. Lines that"
    " begin with `:` are comments."
)

COMPONENTS: dict[str, Schema] = {
    RESPONSE_EVENTS: record(
        {
            "type": described(
                TEXT,
                "`response.created`, `response.output_item.added`, `response.output_text.delta` and OpenAI's"
                " others, up to `response.completed`, `response.incomplete` or `response.failed`; or `error`",
            ),
            "sequence_number": INTEGER,
        },
        {
            "response": described(ref("ResponseObject"), "Of `response.created` and of the last event"),
            "output_index": INTEGER,
            "content_index": INTEGER,
            "summary_index": INTEGER,
            "annotation_index": INTEGER,
            "item_id": TEXT,
            "item": {**ref("OutputItem")},
            "part": OBJECT,
            "annotation": OBJECT,
            "delta": TEXT,
            "text": TEXT,
            "refusal": TEXT,
            "name": TEXT,
            "arguments": TEXT,
            "input": TEXT,
        },
        "One event of a response. Ignore types that you do not know.",
    ),
    MESSAGE_EVENTS: record(
        {
            "type": one_of(
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
                "ping",
                "error",
            )
        },
        {
            "message": OBJECT,
            "index": described(INTEGER, "Of the content block"),
            "content_block": OBJECT,
            "delta": described(OBJECT, "A piece of a block; in `message_delta` the `stop_reason`"),
            "usage": OBJECT,
            "error": OBJECT,
            "request_id": nullable(TEXT),
        },
        "One event of a message.",
    ),
}
