"""Lists the faults of an observed answer: each difference from the expected one, in words."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from tests.cases.collection import Surface
from tests.cases.comparison import at_path, compact, fits, fits_one, short
from tests.cases.observation import ErrorSeen, Observed
from tests.cases.stage import Received

SECRET = "sk-cases-SECRET"
Expectation = dict[str, Any]


def faults_in(
    expect: Expectation,
    seen: Observed,
    surface: Surface,
    received: Sequence[Received] = (),
    *,
    is_anthropic: bool = False,
) -> list[str]:
    """`received` are the requests that reached the provider."""
    if "any_of" in expect:
        rest = {key: value for key, value in expect.items() if key != "any_of"}
        return _fewest(
            expect["any_of"],
            lambda one: faults_in({**rest, **one}, seen, surface, received, is_anthropic=is_anthropic),
        )
    faults = [seen.answer.broken] if seen.answer.broken else []
    faults += seen.faults
    faults += _end_faults(expect, seen, surface)
    faults += _content_faults(expect, seen, surface)
    if "tool_calls" in expect:
        faults += _call_faults(expect["tool_calls"], seen, surface)
        second = expect.get("second_request")
        if surface.is_native and expect["tool_calls"] and not expect.get("error") and second is not None:
            faults += faults_in_second(received, second, is_anthropic=is_anthropic)
    faults += _usage_faults(expect, seen, surface)
    if "attempts" in expect and not fits(expect["attempts"], len(received)):
        faults.append(f"{len(received)} requests upstream instead of {compact(expect['attempts'])}")
    return faults + _time_faults(expect, seen, surface)


def _fewest(choices: Sequence[Expectation], judge: Callable[[Expectation], list[str]]) -> list[str]:
    """None if one of the choices is met, else the faults of all choices."""
    found = [judge(choice) for choice in choices]
    return [] if not all(found) else [" OR ".join("; ".join(faults) for faults in found)]


def _end_faults(expect: Expectation, seen: Observed, surface: Surface) -> list[str]:
    expected, error = expect.get("error"), seen.error
    if expected:
        if error is None:
            return [f"no error, but finish_reason {seen.finish_reason!r} and text {short(seen.text, 40)!r}"]
        faults = _error_faults(expected, error, seen, surface) if isinstance(expected, dict) else []
        if surface.is_native and seen.answer.status == 200 and seen.finish_reason == "stop":
            faults.append("an error, but done has finish_reason stop")
        return faults
    if error is not None:
        where, provider = error.status or "in the stream", error.details.get("provider_status")
        suffix = f" (provider_status {provider})" if provider else ""
        return [f"error {where} {error.code or error.type}: {short(error.message, 90)}{suffix}"]
    if not seen.is_complete and not seen.answer.broken:
        return ["the stream ends without its last frame"]
    return []


def _error_faults(expected: Expectation, error: ErrorSeen, seen: Observed, surface: Surface) -> list[str]:
    faults = []
    for key in ("status", "code", "param", "type"):
        if key not in expected or (key == "status" and error.status is None):
            continue
        if surface.protocol == "messages" and key != "status":
            continue  # Anthropic's errors lack these; messages.py checks their types
        if not fits_one(_allowed(key, expected[key], surface), getattr(error, key)):
            faults.append(f"error.{key} {getattr(error, key)!r} instead of {expected[key]!r}")
    faults += [
        f"error lacks {text!r}: {short(error.message)}"
        for text in expected.get("contains", [])
        if text not in error.raw
    ]
    provider_status = error.details.get("provider_status")
    if surface.is_native and not fits(expected.get("provider_status", provider_status), provider_status):
        faults.append(f"provider_status {provider_status}")
    if "retry_after" in expected and error.status is not None:
        retry_after = seen.answer.headers.get("retry-after")
        if not fits(expected["retry_after"], int(retry_after or -1)):
            faults.append(f"Retry-After {retry_after}")
    return faults


def _allowed(key: str, expected: Any, surface: Surface) -> Any:
    """On Messages, a failure may have Anthropic's status 500 (api_error), and an overload 529."""
    values = expected if isinstance(expected, list) else [expected]
    if surface.protocol == "messages" and key == "status":
        values = [*values, *([500] if 502 in values else []), *([529] if 503 in values else [])]
    return values


def _content_faults(expect: Expectation, seen: Observed, surface: Surface) -> list[str]:
    faults = []
    for key in ("text", "reasoning", "refusal", "finish_reason", "model"):
        if key not in expect or (key == "text" and expect.get("error") and surface.is_whole):
            continue
        if not fits_one(expect[key], getattr(seen, key)):
            faults.append(f"{key} {short(getattr(seen, key), 80)!r} instead of {short(expect[key], 80)!r}")
    whole = seen.everything
    faults += [f"lacks {short(text, 60)}" for text in expect.get("must_contain", []) if text not in whole]
    forbidden = [*expect.get("must_not_contain", []), SECRET]
    faults += [f"holds {short(text, 60)}" for text in forbidden if text in whole]
    if surface.is_native:
        faults += [f"no event {event}" for event in expect.get("events", []) if event not in seen.events]
    return faults


def _call_faults(expected: Sequence[Expectation], seen: Observed, surface: Surface) -> list[str]:
    observed = [
        {"name": call.name, "arguments": call.arguments if surface.is_native else _arguments(call.arguments)}
        for call in seen.calls
    ]
    are_right = len(observed) == len(expected) and all(
        call["name"] == one["name"] and ("arguments" not in one or fits(one["arguments"], call["arguments"]))
        for call, one in zip(observed, expected, strict=True)
    )
    faults = [] if are_right else [f"tool_calls {short(observed)} instead of {short(expected)}"]
    ids = [call.id for call in seen.calls]
    if not all(ids):
        faults.append("a tool call has no id")
    elif len(set(ids)) != len(ids):
        faults.append("two tool calls share an id")
    return faults


def _arguments(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return f"not JSON: {short(text, 60)}"


def faults_in_second(
    received: Sequence[Received], expect: Expectation, *, is_anthropic: bool = False
) -> list[str]:
    """The request after the tools ran must be one that a strict provider accepts."""
    if len(received) < 2:
        return ["the model was not called again after its tools"]
    body = received[1].body
    faults = [] if is_anthropic else _pairing_faults(body.get("messages") or [])
    text = compact(body)
    return faults + [
        f"second request lacks {short(one, 60)}" for one in expect.get("must_contain", []) if one not in text
    ]


def _pairing_faults(messages: Sequence[dict[str, Any]]) -> list[str]:
    calls = [
        call
        for message in messages
        if message.get("role") == "assistant"
        for call in message.get("tool_calls") or []
    ]
    ids = [call.get("id") for call in calls]
    results = [message.get("tool_call_id") for message in messages if message.get("role") == "tool"]
    faults = []
    if not ids or not all(ids) or len(set(ids)) != len(ids):
        faults.append(f"second request: call ids {ids}")
    if sorted(map(str, ids)) != sorted(map(str, results)):
        faults.append(f"second request: results for {results}, calls {ids}")
    for call in calls:
        arguments = (call.get("function") or {}).get("arguments")
        if not isinstance(_arguments(arguments), dict):
            faults.append(f"second request: arguments {short(arguments, 60)}")
    return faults


def _usage_faults(expect: Expectation, seen: Observed, surface: Surface) -> list[str]:
    faults = []
    for key, expected in (expect.get("usage") or {}).items():
        if key in _uncounted(surface) or fits(expected, seen.usage.get(key)):
            continue
        faults.append(f"usage.{key} {seen.usage.get(key)} instead of {compact(expected)}")
    if "cost" in expect and surface.is_native and not fits(expect["cost"], seen.cost):
        faults.append(f"cost {seen.cost} instead of {compact(expect['cost'])}")
    return faults


def _uncounted(surface: Surface) -> set[str]:
    """Counts that the protocol does not have."""
    return {"native": {"cached", "reasoning"}, "messages": {"reasoning"}}.get(surface.protocol, set())


def _time_faults(expect: Expectation, seen: Observed, surface: Surface) -> list[str]:
    faults, answer, never = [], seen.answer, float("inf")
    if not answer.broken and answer.seconds > expect.get("max_seconds", never):
        faults.append(f"took {answer.seconds:.1f} s, more than {expect['max_seconds']}")
    if surface.is_whole:
        return faults
    if (answer.first_byte or never) > expect.get("first_byte_seconds", never):
        faults.append(f"first byte after {answer.first_byte or answer.seconds:.1f} s")
    if "first_word_seconds" in expect and (seen.first_word or never) > expect["first_word_seconds"]:
        faults.append(f"first word after {seen.first_word} s")
    return faults


def faults_in_request(
    expect: Expectation, seen: Observed, surface: Surface, received: Sequence[Received]
) -> list[str]:
    """For a client's request: what reached the provider (`upstream`), or how it was `refused`."""
    if "any_of" in expect:
        return _fewest(expect["any_of"], lambda one: faults_in_request(one, seen, surface, received))
    if "refused" in expect:
        return _refusal_faults(expect["refused"], seen, surface) + (
            ["sent upstream nevertheless"] if received else []
        )
    if seen.answer.broken:
        return [seen.answer.broken]
    faults = list(seen.faults)
    if (error := seen.error) is not None and "error" not in expect.get("answer", {}):
        faults.append(
            f"error {error.status} {error.code}: {short(error.message, 80)} {short(error.details, 80)}"
        )
    if not received:
        return [*faults, "nothing was sent upstream"]
    faults += _upstream_faults(expect, received[-1])
    if "answer" in expect and error is None:
        faults += faults_in(expect["answer"], seen, surface, received)
    return faults


def _upstream_faults(expect: Expectation, sent: Received) -> list[str]:
    faults = []
    for path, expected in (expect.get("upstream") or {}).items():
        if not fits(expected, found := at_path(sent.body, path)):
            faults.append(f"upstream {path} = {short(found, 60)} instead of {short(expected, 60)}")
    for name, expected in (expect.get("upstream_headers") or {}).items():
        if not fits(expected, sent.headers.get(name)):
            faults.append(f"upstream header {name} = {sent.headers.get(name)}")
    text = compact(sent.body)
    return faults + [
        f"upstream lacks {one}" for one in expect.get("upstream_contains", []) if one not in text
    ]


def _refusal_faults(expect: Expectation, seen: Observed, surface: Surface) -> list[str]:
    error, faults = seen.error, list(seen.faults)
    if error is None:
        return [*faults, "not refused"]
    status = expect.get("status", 400)
    if not fits(status, error.status):
        faults.append(f"refused with {error.status} {error.code} instead of {compact(status)}")
    for key in ("code", "type"):
        if key in expect and surface.protocol != "messages" and not fits(expect[key], getattr(error, key)):
            faults.append(f"error.{key} {getattr(error, key)!r} instead of {compact(expect[key])}")
    if (name := expect.get("param")) and name not in f"{error.param or ''} {error.message}":
        faults.append(f"refused without naming {name}: param {error.param!r}, {short(error.message, 60)!r}")
    return faults
