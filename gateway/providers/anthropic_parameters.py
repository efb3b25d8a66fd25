"""Translates OpenAI's parameters into those of Anthropic's Messages API, without I/O.

Protocol: https://docs.anthropic.com/en/api/messages. Parameters that Anthropic lacks are refused by name,
unless their value changes nothing; names that are not OpenAI's go to Anthropic unchanged.
"""

import re
from typing import Any

from gateway.errors import UnsupportedParameter
from gateway.providers.base import JsonObject, ModelRequest
from gateway.providers.garbled import a_text, an_object

# Values that change nothing: the defaults of OpenAI's API, which some clients always send.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "seed": (),
    "prediction": (),
    "verbosity": ("medium",),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
    "guided_json": (),
}
# They concern OpenAI's own cache, storage and accounts, and change nothing in a reply.
WITHOUT_EFFECT = {"store", "prompt_cache_key", "prompt_cache_retention", "n"}
TRANSLATED = {
    "stop",
    "top_p",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "reasoning",
    "user",
    "safety_identifier",
    "metadata",
    "service_tier",
}
TIERS = {"auto", "standard_only"}
THINKING_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.9, "max": 0.95}
LEAST_THINKING = 1024  # tokens that Anthropic accepts
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
# Claude 4.6 and later decide themselves how much to think.
VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2}))?(?![\d.])")
ADAPTIVE_SINCE = (4, 6)


def parameters_of(request: ModelRequest) -> JsonObject:
    """UnsupportedParameter names a parameter that Claude does not have."""
    extra = request.extra
    passed = {name: value for name, value in extra.items() if not _is_read(name, value)}
    thinking = _thinking(request)
    body = {**_sampling(request, thinks=bool(thinking)), **passed, **thinking, **_user(extra), **_tier(extra)}
    if stops := _stop_sequences(extra.get("stop")):
        body["stop_sequences"] = stops
    if (output := _output_format(extra.get("response_format"))) is not None:
        body["output_config"] = {**an_object(body.get("output_config")), "format": output}
    return body


def _is_read(name: str, value: Any) -> bool:
    """Whether it is not passed on unchanged. UnsupportedParameter for one that Claude lacks."""
    if name in TRANSLATED or name in WITHOUT_EFFECT:
        return True
    if name not in NEUTRAL:
        return False
    if value in NEUTRAL[name]:
        return True
    raise UnsupportedParameter(name, "Claude models do not support it. Leave it out.")


def _sampling(request: ModelRequest, *, thinks: bool) -> JsonObject:
    """The temperature is at most 1. Newer models refuse it together with `top_p`, so only one is sent;
    a model that thinks takes neither."""
    if thinks:
        return {}
    if request.temperature is not None:
        return {"temperature": min(max(request.temperature, 0.0), 1.0)}
    top_p = request.extra.get("top_p")
    return {"top_p": top_p} if top_p is not None else {}


def _stop_sequences(stop: Any) -> list[str]:
    """Sequences of only white space are refused, so they are left out."""
    wanted = stop if isinstance(stop, list) else [stop]
    return [text for text in wanted if isinstance(text, str) and text.strip()]


def _thinking(request: ModelRequest) -> JsonObject:
    """From `reasoning_effort`, or OpenRouter's `reasoning`; a client's own `thinking` takes precedence.

    An effort is left out if the output bound has no room for the minimum of thinking.
    """
    reasoning = an_object(request.extra.get("reasoning"))
    effort = a_text(request.extra.get("reasoning_effort")) or a_text(reasoning.get("effort"))
    budget = reasoning.get("max_tokens")
    if "thinking" in request.extra or (effort not in EFFORTS and not isinstance(budget, int)):
        return {}
    if is_adaptive(request.model) and effort in EFFORTS:
        return {"thinking": {"type": "adaptive"}, "output_config": {"effort": EFFORTS[effort]}}
    share = int(request.max_tokens * THINKING_SHARES.get(effort, 0.5))
    wanted = budget if isinstance(budget, int) else max(share, LEAST_THINKING)
    tokens = min(wanted, request.max_tokens - 1)
    if tokens < LEAST_THINKING:
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def is_adaptive(model: str) -> bool:
    found = VERSION.search(model.lower())
    return found is not None and (int(found[1]), int(found[2] or 0)) >= ADAPTIVE_SINCE


def _user(extra: JsonObject) -> JsonObject:
    """Anthropic's `metadata` has one field, `user_id`."""
    metadata = an_object(extra.get("metadata"))
    if others := [name for name in metadata if name != "user_id"]:
        raise UnsupportedParameter("metadata", f"Claude models take only user_id in it, not {others[0]}.")
    user = metadata.get("user_id") or extra.get("safety_identifier") or extra.get("user")
    return {"metadata": {"user_id": user}} if user else {}


def _tier(extra: JsonObject) -> JsonObject:
    tier = extra.get("service_tier")
    if tier in (None, "default"):
        return {}
    if tier not in TIERS:
        raise UnsupportedParameter("service_tier", f"Claude models have {' and '.join(sorted(TIERS))}.")
    return {"service_tier": tier}


def _output_format(wanted: Any) -> JsonObject | None:
    """Structured output (https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs)."""
    kind = a_text(an_object(wanted).get("type"))
    if kind in ("", "text"):
        return None
    schema = an_object(an_object(wanted).get("json_schema")).get("schema")
    if kind != "json_schema" or not isinstance(schema, dict):
        problem = "Claude models follow a schema. Send type json_schema with one."
        raise UnsupportedParameter("response_format", problem)
    return {"type": "json_schema", "schema": schema}
