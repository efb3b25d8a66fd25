"""The body of `POST /v1/responses` for the OpenAPI schema; `request.py` and `parameters.py` check it."""

from typing import Any

from rest_framework import serializers

from gateway.api.responses.parameters import INCLUDES


class ResponsesSerializer(serializers.Serializer[Any]):
    """The parameters that this route knows; others are passed on to the provider."""

    model = serializers.CharField(max_length=60)
    input = serializers.JSONField(help_text="Text, or a list of items: messages, calls, outputs, reasoning")
    instructions = serializers.CharField(required=False, allow_null=True)
    tools = serializers.ListField(
        child=serializers.DictField(),
        required=False,
        allow_null=True,
        help_text='`function`, `custom`, `namespace`, `local_shell`, or `{"type": "mcp", "server_label"}`',
    )
    tool_choice = serializers.JSONField(
        required=False, allow_null=True, help_text="`auto`, `none`, `required`, a tool, or `allowed_tools`"
    )
    parallel_tool_calls = serializers.BooleanField(required=False, allow_null=True)
    text = serializers.DictField(
        required=False, allow_null=True, help_text="`format` (text, json_object, json_schema), `verbosity`"
    )
    reasoning = serializers.DictField(required=False, allow_null=True, help_text="`effort`, `summary`")
    max_output_tokens = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=1_000_000
    )
    metadata = serializers.DictField(
        child=serializers.CharField(max_length=512), required=False, allow_null=True
    )
    store = serializers.BooleanField(
        required=False, default=True, help_text="Store it as a turn of a conversation of yours"
    )
    previous_response_id = serializers.CharField(
        required=False, allow_null=True, help_text="A stored response of yours to continue"
    )
    include = serializers.ListField(
        child=serializers.ChoiceField(choices=INCLUDES), required=False, allow_null=True
    )
    truncation = serializers.ChoiceField(choices=["auto", "disabled"], required=False, allow_null=True)
    stream = serializers.BooleanField(required=False, default=False, allow_null=True)
    stream_options = serializers.DictField(required=False, allow_null=True)
    top_logprobs = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=20)
    temperature = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=2)
    top_p = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=1)
