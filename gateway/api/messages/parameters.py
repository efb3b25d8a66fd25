"""Translates the parameters of an Anthropic request into OpenAI's names, and refuses those that are ours.

Protocol: https://docs.anthropic.com/en/api/messages
"""

from typing import Any

from gateway.api.messages.inputs import a_list, a_string, an_object, wrong
from gateway.api.messages.tools import translated_choice
from gateway.errors import UnsupportedParameter
from gateway.providers.base import JsonObject

# Fields that the gateway sets, or translates as part of the conversation.
OWN = {"model", "messages", "system", "tools", "max_tokens", "stream", "betas"}
# These cost more than tokens, or would make another model answer.
PAID = "It costs more than the model's price."
REFUSED = {
    "mcp_servers": 'Servers are installed in the workspace. Send {"type": "mcp", "server_label"} in tools.',
    "container": "The provider would run code in it, which costs extra.",
    "inference_geo": PAID,
    "fallbacks": "Set the model's fallback in the workspace.",
    "fallback_credit_token": "Set the model's fallback in the workspace.",
}
EDITS = ("clear_tool_uses_20250919", "clear_thinking_20251015")
# These only concern how Anthropic serves the request; no other provider can use them.
HINTS = {"metadata", "service_tier", "cache_control", "context_management", "diagnostics", "speed"}
TRANSLATED = {
    "temperature",
    "top_p",
    "stop_sequences",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
}
# OpenAI's reasoning models all know these three efforts.
EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
LOW_BUDGET, MEDIUM_BUDGET = 4096, 16_384  # the most tokens of thinking for these efforts


def native_parameters(body: JsonObject) -> JsonObject:
    """The parameters that Anthropic gets unchanged. UnsupportedParameter names one that is ours."""
    found = {name: value for name, value in body.items() if name not in OWN and value is not None}
    for name in found.keys() & REFUSED.keys():
        raise UnsupportedParameter(name, REFUSED[name])
    if found.get("speed", "standard") != "standard":
        raise UnsupportedParameter("speed", PAID)
    _check_edits(found.get("context_management"))
    return found


def translated_parameters(native: JsonObject) -> JsonObject:
    """The same in OpenAI's names; unknown parameters are passed on, so that the provider judges them."""
    others = {name: value for name, value in native.items() if name not in HINTS | TRANSLATED}
    found = {
        **others,
        **translated_choice(native.get("tool_choice")),
        **_reasoning(native),
        **_format(native),
    }
    for ours, theirs in (("temperature", "temperature"), ("top_p", "top_p"), ("stop", "stop_sequences")):
        if theirs in native:
            found[ours] = native[theirs]
    return found


def _check_edits(management: Any) -> None:
    """Clearing shortens the prompt; other edits make the model write more than `max_tokens`."""
    if management is None:
        return
    edits = a_list(an_object(management, "context_management").get("edits") or [], "context_management.edits")
    kinds = [edit.get("type") if isinstance(edit, dict) else None for edit in edits]
    if unknown := next((kind for kind in kinds if kind not in EDITS), None):
        raise UnsupportedParameter("context_management", f"The edit {unknown} has no bound on its cost.")


def _reasoning(native: JsonObject) -> JsonObject:
    """The effort that was asked for, or that corresponds to the budget of thinking."""
    thinking = native.get("thinking")
    kind = an_object(thinking, "thinking").get("type") if thinking is not None else "adaptive"
    effort = _output_config(native).get("effort")
    if kind == "disabled":
        return {}
    if effort is not None:
        name = a_string(effort, "output_config.effort")
        if name not in EFFORTS:
            wrong("output_config.effort", f"Send one of {', '.join(EFFORTS)}.")
        return {"reasoning_effort": EFFORTS[name]}
    if kind == "enabled":
        return {"reasoning_effort": _effort_of(an_object(thinking, "thinking").get("budget_tokens"))}
    return {}


def _effort_of(budget: Any) -> str:
    if type(budget) is not int:
        wrong("thinking.budget_tokens", "Send a whole number.")
    if budget <= LOW_BUDGET:
        return "low"
    return "medium" if budget <= MEDIUM_BUDGET else "high"


def _format(native: JsonObject) -> JsonObject:
    """Structured output, also under the name that it had at first."""
    wanted = _output_config(native).get("format") or native.get("output_format")
    if wanted is None:
        return {}
    wanted = an_object(wanted, "output_config.format")
    if wanted.get("type") != "json_schema":
        wrong("output_config.format.type", "Send json_schema.")
    schema = an_object(wanted.get("schema"), "output_config.format.schema")
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": schema},
        }
    }


def _output_config(native: JsonObject) -> JsonObject:
    config = native.get("output_config")
    return {} if config is None else an_object(config, "output_config")
