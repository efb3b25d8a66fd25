"""Translates a provider's refusal, with the provider's own words and without anything like a key."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from gateway.errors import ContextTooLong, ProviderError
from gateway.providers.base import JsonObject
from gateway.providers.garbled import a_text, an_object, objects
from gateway.providers.soundness import sound
from kit.errors import DomainError

# OpenAI, llama.cpp, vLLM and DeepSeek, Anthropic (twice), xAI, Gemini, in this order, then other servers.
CONTEXT = re.compile(
    "context_length_exceeded|exceed_context_size|maximum context length|prompt is too long|context limit"
    "|maximum prompt length|input token count|context window|context size|context length"
    "|too many (?:input )?tokens|reduce the length of the (?:messages|prompt|input)|input is too long"
    "|`inputs` (?:tokens|must have less than)|exceeds? the (?:model's )?(?:maximum|max) .{0,20}tokens",
    re.IGNORECASE,
)
# A gateway in front of the model gave up waiting; the model behind it may have worked, and may still.
GATEWAY_TIMEOUTS = {408, 504, 524}
OVERLOADED = 429
INVALID = {400, 413, 422}
LONGEST_MESSAGE = 1000  # characters of a provider's own words
LONGEST_CODE = 100
REMOVED = "[removed]"
_KEY = r"[A-Za-z0-9*_.+/=-]"
KEY_LIKE = re.compile(
    # Begins like a known provider's keys.
    rf"\b(?:sk|pk|rk|xai|nvapi|xox[a-z])-{_KEY}{{5,}}[A-Za-z0-9*_=-]"
    rf"|\b(?:gsk|hf|r8|gh[opsu])_{_KEY}{{16,}}|\b(?:AIza|AKIA|ya29\.){_KEY}{{8,}}"
    # Is called a key, unless it is an ordinary word, as in "API key provided".
    rf"|(?i:\b(?:key|token|secret|password|bearer|basic))[\"']?[ :=]{{1,3}}[\"']?"
    rf"(?:(?=[A-Za-z_.+/=-]{{0,64}}[0-9*]){_KEY}{{8,}}|{_KEY}{{20,}})(?<![.])"
    # A long run of letters and digits without a meaning.
    r"|\b(?=\w*\d)(?=\w*[a-z])(?=\w*[A-Z])\w{24,}\b|\b[0-9a-f]{32,}\b"
)


def refusal(
    *,
    provider: str,
    status: int,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    secrets: Iterable[str] = (),
) -> DomainError:
    """The error for a status that is not a success; one about the context window is ContextTooLong."""
    words = words_of(_json(body), secrets=secrets)
    if status in INVALID and is_about_context(body.decode("utf-8", "replace")):
        return context_too_long(words)
    said = words.get("provider_message", "")
    return ProviderError(
        _text_for(status, body, said),
        provider=provider,
        provider_status=status,
        did_no_work=status not in GATEWAY_TIMEOUTS,
        transient=is_transient(status)
        and b"insufficient_quota" not in body,  # OpenAI's 429 for an unpaid bill
        retry_after=_retry_after(headers or {}),
        words=words,
    )


def is_about_context(text: str) -> bool:
    return CONTEXT.search(text) is not None


def context_too_long(words: Mapping[str, str]) -> ContextTooLong:
    """With the provider's own words, which often say by how much."""
    said = words.get("provider_message")
    if not said:
        return ContextTooLong()
    return ContextTooLong(f"{ContextTooLong.message} The provider says: {said}", provider_message=said)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """In seconds; OpenAI and Azure also send milliseconds."""
    milliseconds = retry_after_seconds(headers.get("retry-after-ms"), now=datetime.now(UTC))
    if milliseconds is not None:
        return milliseconds / 1000
    return retry_after_seconds(headers.get("retry-after"), now=datetime.now(UTC))


def _text_for(status: int, body: bytes, said: str) -> str | None:
    """What went wrong, by the status and in the provider's own words; None for the general text."""
    its_words = f" It says: {said}" if said else ""
    if b"insufficient_quota" in body or status == 402:
        return "The provider refused the request: its account has no credit left."
    if status in (401, 403):
        return f"The provider rejected the API key.{its_words}"
    if status == 404:
        return f"The provider does not know this model, or has no such address.{its_words}"
    if is_transient(status):
        return "The provider is overloaded or unavailable. Try again shortly."
    if 400 <= status < 500 and status not in GATEWAY_TIMEOUTS:
        return f"The provider refused the request.{its_words}"
    return None


def words_of(error: Any, *, secrets: Iterable[str] = ()) -> dict[str, str]:
    """A provider's message, code and parameter, as details of a ProviderError; without those it did not send.

    It may be a text, OpenAI's or Anthropic's object, FastAPI's list of problems, or a problem document.
    """
    if isinstance(error, str):
        return _words(error, "", "", secrets)
    if isinstance(error, list):
        return words_of(error[0], secrets=secrets) if error else {}
    outer = an_object(error)
    inner: Any = outer.get("error") or outer.get("errors") or outer
    if isinstance(inner, list):
        inner = inner[0] if inner else {}
    if isinstance(inner, str):
        said = a_text(outer.get("message"))
        return _words(said if said else inner, a_text(outer.get("code")), "", secrets)
    found = an_object(inner)
    if isinstance(found.get("message"), dict):  # Mistral's
        found = {**found, **found["message"], "message": None}
    problems = [*objects(found.get("detail")), *objects(found.get("errors"))]
    problem = problems[0] if problems else {}
    place = problem.get("loc")
    param = a_text(found.get("param")) or (str(place[-1]) if isinstance(place, list) and place else "")
    message = _first_text(found, "message", "msg", "error_msg", "detail", "title")
    if not message:
        where = ".".join(str(step) for step in place) + ": " if isinstance(place, list) and place else ""
        message = where + _first_text(problem, "msg", "message")
    code = found.get("code") if isinstance(found.get("code"), str) else found.get("type")
    return _words(message, a_text(code), param, secrets)


def _first_text(found: JsonObject, *names: str) -> str:
    return next((text for name in names if (text := a_text(found.get(name)))), "")


def _words(message: str, code: str, param: str, secrets: Iterable[str]) -> dict[str, str]:
    named = {
        "provider_message": redacted(message, secrets)[:LONGEST_MESSAGE],
        "provider_code": redacted(code, secrets)[:LONGEST_CODE],
        "provider_param": redacted(param, secrets)[:LONGEST_CODE],
    }
    return {name: text for name, text in named.items() if text}


def hide_secrets(error: ProviderError, secrets: Iterable[str]) -> None:
    """Redacts the provider's words in an error that a reply has reported."""
    known = list(secrets)
    error.text = redacted(error.text, known)
    error.args = (error.text,)
    error.details = {
        name: redacted(value, known) if isinstance(value, str) else value
        for name, value in error.details.items()
    }


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets and anything that looks like a key."""
    for secret in secrets:
        text = text.replace(secret, REMOVED)
    return sound(KEY_LIKE.sub(REMOVED, text)).strip()


def _json(body: bytes) -> Any:
    """The body's JSON; a plain text is cut off, and an HTML page becomes an empty text."""
    text = body.decode("utf-8", "replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return "" if text.startswith("<") or "<html" in text[:LONGEST_MESSAGE] else text[:LONGEST_MESSAGE]


def is_transient(status: int) -> bool:
    """Whether the same request may succeed a little later; 529 is Anthropic's `overloaded`."""
    return status == OVERLOADED or status >= 500


def is_outage(error: ProviderError) -> bool:
    """Whether the provider is down rather than busy: no connection, no answer in time, or a 5xx."""
    return error.transient and error.details["provider_status"] != OVERLOADED


def retry_after_seconds(retry_after: str | None, *, now: datetime) -> float | None:
    """`Retry-After` (RFC 9110, 10.2.3: seconds or an HTTP date) in seconds; None if it has neither."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        seconds = _seconds_until(retry_after, now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
