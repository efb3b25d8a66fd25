"""The response object, whole and within the events of a stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.api.openai_wire import error_code, wire_status
from gateway.api.responses.ids import response_id
from gateway.errors import ContextTooLong
from gateway.models import Turn
from gateway.providers.base import JsonObject
from kit.errors import DomainError
from quotas.errors import QuotaExceeded
from quotas.prices import MILLION, Usage

Reason = Turn.FinishReason
STATUSES: dict[str, str] = {
    "": "in_progress",
    Reason.STOP: "completed",
    Reason.TOOL_CALLS: "completed",
    Reason.LENGTH: "incomplete",
    Reason.CONTENT_FILTER: "incomplete",
    Reason.TOOL_LIMIT: "incomplete",
    Reason.CANCELLED: "cancelled",
}
INCOMPLETE_REASONS: dict[str, str] = {
    Reason.LENGTH: "max_output_tokens",
    Reason.CONTENT_FILTER: "content_filter",
}
BAD_REQUEST, RATE_LIMITED = 400, 429


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What a response says of its request."""

    turn_id: UUID
    created_at: int
    model: str
    shown: JsonObject
    conversation_id: str | None = None
    removed: Sequence[str] = ()  # reasoning items of the input that the model did not get

    def response(
        self,
        *,
        finish_reason: str = "",
        output: list[JsonObject] | None = None,
        usage: Usage | None = None,
        error: DomainError | None = None,
        completed_at: int | None = None,
        model: str = "",
        extras: JsonObject | None = None,
    ) -> JsonObject:
        """The object as a client gets it; an empty `finish_reason`: it is still being written."""
        status = "failed" if error else status_of(finish_reason)
        is_cut_off = status == "incomplete"
        return {
            **(extras or {}),
            "id": response_id(self.turn_id),
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "background": False,
            "completed_at": completed_at if status == "completed" else None,
            "error": response_error(error) if error else None,
            "incomplete_details": {"reason": INCOMPLETE_REASONS.get(finish_reason)} if is_cut_off else None,
            "model": model or self.model,
            "output": output or [],
            "usage": usage_data(usage) if usage else None,
            **({"input_transformations": removals(self.removed)} if self.removed else {}),
            **({"conversation": {"id": self.conversation_id}} if self.conversation_id else {}),
            **shown_parameters(self.shown, extras or {}),
        }


def removals(item_ids: Sequence[str]) -> list[JsonObject]:
    """Reasoning that another model made."""
    head = {"type": "reasoning", "action": "removed", "reason": "model_mismatch"}
    return [{**head, "id": item_id} for item_id in item_ids]


def status_of(finish_reason: str) -> str:
    return STATUSES.get(finish_reason, "failed")


def shown_parameters(shown: JsonObject, extras: JsonObject) -> JsonObject:
    """The request's parameters, with what applies where it has none."""
    text = shown.get("text") or {}
    reasoning = shown.get("reasoning") or {}
    return {
        "instructions": shown.get("instructions"),
        "max_output_tokens": shown.get("max_output_tokens"),
        "max_tool_calls": None,
        "parallel_tool_calls": shown.get("parallel_tool_calls", True),
        "previous_response_id": shown.get("previous_response_id"),
        "prompt_cache_key": shown.get("prompt_cache_key"),
        "reasoning": {"effort": None, "summary": None, **reasoning},
        "safety_identifier": shown.get("safety_identifier"),
        "service_tier": extras.get("service_tier") or shown.get("service_tier"),
        "store": shown.get("store", True),
        "temperature": shown.get("temperature"),
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": shown.get("tool_choice", "auto"),
        "tools": shown.get("tools") or [],
        "top_logprobs": shown.get("top_logprobs"),
        "top_p": shown.get("top_p"),
        "truncation": shown.get("truncation", "disabled"),
        "user": shown.get("user"),
        "metadata": shown.get("metadata") or {},
    }


def usage_data(usage: Usage) -> JsonObject:
    """Counts of tokens, and the cost in the price list's currency if the model has a price."""
    counts: JsonObject = {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total,
    }
    return counts if usage.cost is None else {**counts, "cost": usage.cost / MILLION}


def response_error(error: DomainError) -> dict[str, Any]:
    """With one of the codes that this API has, or one of two more on which clients act."""
    status = wire_status(error)
    if isinstance(error, QuotaExceeded | ContextTooLong):
        code = error_code(error)
        code = "insufficient_quota" if isinstance(error, QuotaExceeded) else code
    elif status == RATE_LIMITED:
        code = "rate_limit_exceeded"
    else:
        code = "invalid_prompt" if status == BAD_REQUEST else "server_error"
    return {"code": code, "message": error.text}
