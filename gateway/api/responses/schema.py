"""The body of `POST /v1/responses` for the OpenAPI schema; `request.py` and `parameters.py` check it."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
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


class TokenDetailsSerializer(serializers.Serializer[Any]):
    cached_tokens = serializers.IntegerField()
    cache_write_tokens = serializers.IntegerField()


class ReasoningDetailsSerializer(serializers.Serializer[Any]):
    reasoning_tokens = serializers.IntegerField()


class ResponseUsageSerializer(serializers.Serializer[Any]):
    input_tokens = serializers.IntegerField()
    input_tokens_details = TokenDetailsSerializer()
    output_tokens = serializers.IntegerField()
    output_tokens_details = ReasoningDetailsSerializer()
    total_tokens = serializers.IntegerField()
    cost = serializers.FloatField(
        required=False, help_text="In the price list's currency, if a price is known"
    )


class ResponseErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class OutputItemSerializer(serializers.Serializer[Any]):
    """The other fields depend on the type, as OpenAI's reference describes."""

    id = serializers.CharField()
    type = serializers.CharField(
        help_text="`message`, `reasoning`, `function_call`, `custom_tool_call`, `local_shell_call`,"
        " `image_generation_call`, `mcp_list_tools`, `mcp_call` or `mcp_approval_request`"
    )
    status = serializers.CharField(required=False)


# Generated clients have a class Response of their own.
@extend_schema_serializer(component_name="ResponseObject")
class ResponseSerializer(serializers.Serializer[Any]):
    """A response; it also repeats the request's parameters."""

    id = serializers.CharField(help_text="`resp_` and the turn's id")
    object = serializers.CharField(help_text="`response`")
    created_at = serializers.IntegerField(help_text="Seconds since 1970")
    completed_at = serializers.IntegerField(allow_null=True)
    status = serializers.CharField(
        help_text="`completed`, `incomplete`, `failed`, `cancelled` or `in_progress`"
    )
    model = serializers.CharField(help_text="The model that answered")
    output = OutputItemSerializer(many=True)
    usage = ResponseUsageSerializer(allow_null=True)
    error = ResponseErrorSerializer(allow_null=True)
    incomplete_details = serializers.DictField(allow_null=True)
    previous_response_id = serializers.CharField(allow_null=True)
    instructions = serializers.CharField(allow_null=True)
    tools = serializers.ListField(child=serializers.DictField())
    tool_choice = serializers.JSONField()
    metadata = serializers.DictField(child=serializers.CharField())
    store = serializers.BooleanField()
    conversation = serializers.DictField(required=False, help_text="`id` of the conversation of a stored one")


class DeletedResponseSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class InputItemsSerializer(serializers.Serializer[Any]):
    """One page of input items."""

    object = serializers.CharField(help_text="`list`")
    data = serializers.ListField(child=serializers.DictField())  # type: ignore[assignment]
    first_id = serializers.CharField(allow_null=True)
    last_id = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class InputTokensSerializer(serializers.Serializer[Any]):
    object = serializers.CharField(help_text="`response.input_tokens`")
    input_tokens = serializers.IntegerField()
