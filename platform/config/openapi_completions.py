"""The components of `/v1/chat/completions`: OpenAI's requests and answers, as we pass them on.

Protocol: https://platform.openai.com/docs/api-reference/chat
"""

from config.openapi_schemas import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    TEXT,
    Schema,
    described,
    listed,
    nullable,
    one_of,
    record,
    ref,
)

ROLES = ("system", "developer", "user", "assistant", "tool")
FUNCTION = record(
    {"name": TEXT}, {"description": TEXT, "parameters": described(OBJECT, "A JSON Schema"), "strict": BOOLEAN}
)
MCP_FIELDS: dict[str, Schema] = {
    "server_label": described(TEXT, "With `type: mcp`: an MCP server of the workspace, by its name"),
    "allowed_tools": described(listed(TEXT), "With `type: mcp`: the only tools of it to use"),
}
MESSAGE_FIELDS: dict[str, Schema] = {
    "reasoning_content": described(TEXT, "The model's reasoning. Send it back with the message"),
    "tool_calls": listed(ref("ChatToolCall")),
}
PROVIDERS_FIELDS: dict[str, Schema] = {
    "annotations": described(listed(OBJECT), "Citations, as the provider sent them"),
    "images": described(listed(OBJECT), "Generated images, as the provider sent them"),
    "reasoning_details": described(listed(OBJECT), "Signed reasoning. Send it back with the message"),
    "extra_content": described(OBJECT, "The provider's, such as signatures. Send it back"),
    "audio": OBJECT,
}
TOKEN: dict[str, Schema] = {"token": TEXT, "logprob": NUMBER, "bytes": nullable(listed(INTEGER))}
FINISH_REASON = one_of("stop", "length", "tool_calls", "content_filter")
HEAD: dict[str, Schema] = {
    "id": described(TEXT, "Contains the turn's id"),
    "created": described(INTEGER, "Seconds since 1970"),
    "model": described(TEXT, "The model that answered: the one asked for, or a fallback"),
}
PROVIDERS_HEAD: dict[str, Schema] = {"system_fingerprint": nullable(TEXT), "service_tier": nullable(TEXT)}

# Passed on to the provider, which judges their values.
PASSED_ON: dict[str, Schema] = {
    "top_p": NUMBER,
    "stop": {"oneOf": [TEXT, listed(TEXT)], "description": "One or several texts that end the reply"},
    "seed": INTEGER,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "logit_bias": {"type": "object", "additionalProperties": NUMBER},
    "logprobs": BOOLEAN,
    "top_logprobs": INTEGER,
    "tool_choice": {
        "oneOf": [TEXT, OBJECT],
        "description": "`auto`, `none`, `required`, or an object that names a tool",
    },
    "parallel_tool_calls": BOOLEAN,
    "response_format": ref("ResponseFormat"),
    "reasoning_effort": described(TEXT, "`none`, `minimal`, `low`, `medium`, `high` or another of the model"),
    "verbosity": described(TEXT, "`low`, `medium` or `high`"),
    "modalities": listed(TEXT),
    "prediction": OBJECT,
    "web_search_options": OBJECT,
    "metadata": {"type": "object", "additionalProperties": TEXT},
    "user": TEXT,
    "safety_identifier": TEXT,
    "service_tier": TEXT,
    "prompt_cache_key": TEXT,
    "store": BOOLEAN,
}

COMPONENTS: dict[str, Schema] = {
    "ChatMessage": {
        **record(
            {"role": one_of(*ROLES)},
            {
                "content": {
                    "nullable": True,
                    "oneOf": [TEXT, listed(ref("ContentPart"))],
                    "description": "A text, or parts. May be null in a message with `tool_calls`",
                },
                "name": TEXT,
                "tool_call_id": described(TEXT, "With `role: tool`: the call that this is the result of"),
                "refusal": nullable(TEXT),
                **MESSAGE_FIELDS,
            },
        ),
        "additionalProperties": True,
    },
    "ContentPart": {
        **record(
            {"type": described(TEXT, "`text`, `image_url`, `file`, `input_audio`, `refusal`")},
            {
                "text": TEXT,
                "image_url": record(
                    {"url": described(TEXT, "Also `data:image/png;base64,…`")}, {"detail": TEXT}
                ),
                "file": OBJECT,
                "input_audio": OBJECT,
            },
        ),
        "additionalProperties": True,
    },
    "ChatTool": {
        **record(
            {"type": described(TEXT, "`function`, `custom`, or `mcp` for tools of the workspace")},
            {"function": FUNCTION, "custom": OBJECT, **MCP_FIELDS},
        ),
        "additionalProperties": True,
    },
    "ChatToolCall": record(
        {"id": TEXT, "type": TEXT},
        {
            "function": record({"name": TEXT, "arguments": described(TEXT, "JSON, as the model wrote it")}),
            "custom": record({"name": TEXT, "input": TEXT}),
            "extra_content": PROVIDERS_FIELDS["extra_content"],
        },
    ),
    "ChatToolCallDelta": record(
        {"index": INTEGER},
        {
            "id": TEXT,
            "type": TEXT,
            "function": record({}, {"name": TEXT, "arguments": TEXT}),
            "custom": record({}, {"name": TEXT, "input": TEXT}),
            "extra_content": PROVIDERS_FIELDS["extra_content"],
        },
        "A piece of a call: those with the same `index` belong together, and their texts are joined.",
    ),
    "ResponseFormat": record(
        {"type": described(TEXT, "`text`, `json_object` or `json_schema`")},
        {
            "json_schema": record(
                {"name": TEXT},
                {"schema": described(OBJECT, "A JSON Schema"), "strict": BOOLEAN, "description": TEXT},
            )
        },
    ),
    "StreamOptions": {
        **record({}, {"include_usage": described(BOOLEAN, "Ends the stream with a chunk with `usage`")}),
        "additionalProperties": True,
    },
    "ChatMessageAnswer": record(
        {"role": one_of("assistant"), "content": nullable(TEXT), "refusal": nullable(TEXT)},
        {**MESSAGE_FIELDS, **PROVIDERS_FIELDS},
        "The model's message, to be sent back unchanged.",
    ),
    "ChatDelta": record(
        {},
        {
            "role": one_of("assistant"),
            "content": nullable(TEXT),
            "refusal": nullable(TEXT),
            "reasoning_content": TEXT,
            "tool_calls": listed(ref("ChatToolCallDelta")),
            **PROVIDERS_FIELDS,
        },
        "A piece of the message.",
    ),
    "TokenLogprob": record(TOKEN, {"top_logprobs": listed(record(TOKEN))}),
    "Logprobs": record(
        {},
        {
            "content": nullable(listed(ref("TokenLogprob"))),
            "refusal": nullable(listed(ref("TokenLogprob"))),
        },
    ),
    "CompletionUsage": record(
        {
            "prompt_tokens": INTEGER,
            "completion_tokens": INTEGER,
            "total_tokens": INTEGER,
            "prompt_tokens_details": record(
                {"cached_tokens": described(INTEGER, "Part of the prompt, from the provider's cache")}
            ),
            "completion_tokens_details": record(
                {"reasoning_tokens": described(INTEGER, "Part of the completion")}
            ),
        },
        {"cost": described(NUMBER, "In the price list's currency; absent if the model has no price")},
    ),
    "ChatCompletion": record(
        {
            "object": one_of("chat.completion"),
            **HEAD,
            "choices": listed(
                record(
                    {
                        "index": INTEGER,
                        "message": ref("ChatMessageAnswer"),
                        "logprobs": nullable(ref("Logprobs")),
                        "finish_reason": FINISH_REASON,
                    }
                )
            ),
            "usage": ref("CompletionUsage"),
        },
        PROVIDERS_HEAD,
    ),
    "ChatCompletionChunk": record(
        {
            "object": one_of("chat.completion.chunk"),
            **HEAD,
            "choices": described(
                listed(
                    record(
                        {
                            "index": INTEGER,
                            "delta": ref("ChatDelta"),
                            "logprobs": nullable(ref("Logprobs")),
                            "finish_reason": nullable(FINISH_REASON),
                        }
                    )
                ),
                "Empty in the chunk with `usage`",
            ),
        },
        {"usage": ref("CompletionUsage"), **PROVIDERS_HEAD},
    ),
}
# Replace the descriptions that the request's serializer gives.
REFINED: dict[str, Schema] = {
    "messages": {**listed(ref("ChatMessage")), "minItems": 1, "maxItems": 10_000},
    "tools": {**listed(ref("ChatTool")), "nullable": True, "maxItems": 128},
    "stream_options": nullable(ref("StreamOptions")),
}
