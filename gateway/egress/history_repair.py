"""Completes the history in an engine's model call from our own copy if messages are missing, and repairs it.

An engine may trim its history to the model's context window. But it may also have lost messages: its database
was emptied, or it died while a reply was written. Pure, except for the token count.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from gateway.calls.call_images import text_of
from gateway.calls.own_branch import Branch, Exchange, normalised
from gateway.engines.librechat.placeholders import SYSTEM
from gateway.providers.base import JsonObject, ModelRequest

FLATTENED = "[Previous tool interaction]"  # begins a user message by LibreChat that replaces tool calls
UNTRIMMED = 0.9  # of the window: a history within this, by its bytes, is never trimmed
REPLIES = {"assistant", "tool"}
Fits = Callable[[ModelRequest], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Parts:
    """A call's messages: instructions, earlier messages, and the turn itself, beginning with its question."""

    system: list[JsonObject]
    earlier: list[JsonObject]
    turn: list[JsonObject]


def parts_of(messages: Sequence[JsonObject], question: str) -> Parts | None:
    """None if the question is not found: then the parts cannot be distinguished."""
    wanted = normalised(question)
    positions = (at for at in reversed(range(len(messages))) if _is_question(messages[at], wanted))
    at = next(positions, None)
    if at is None:
        return None
    first = next((n for n in range(at + 1) if messages[n].get("role") not in SYSTEM), at)
    return Parts(list(messages[:first]), list(messages[first:at]), list(messages[at:]))


def _is_question(message: JsonObject, wanted: str) -> bool:
    return message.get("role") == "user" and normalised(text_of(message)) == wanted


async def completed(
    request: ModelRequest, branch: Branch, *, context_window: int, fits: Fits
) -> ModelRequest | None:
    """The request with as much of our own copy as fits; None if the engine's history is complete."""
    parts = parts_of(request.messages, branch.question) if branch.earlier else None
    if parts is None or not _lacks(parts, branch, request, context_window):
        return None
    ours = branch.replied

    def with_turns(number: int) -> ModelRequest:
        said = [message for exchange in reversed(ours[:number]) for message in _messages(exchange)]
        return replace(request, messages=[*parts.system, *said, *parts.turn])

    fewest, most = 0, len(ours)
    if await fits(with_turns(most)):
        return with_turns(most)
    while most - fewest > 1:
        middle = (fewest + most) // 2
        fewest, most = (middle, most) if await fits(with_turns(middle)) else (fewest, middle)
    return with_turns(fewest) if fewest else None


def _messages(exchange: Exchange) -> list[JsonObject]:
    return [{"role": "user", "content": exchange.question}, {"role": "assistant", "content": exchange.reply}]


def _lacks(parts: Parts, branch: Branch, request: ModelRequest, context_window: int) -> bool:
    """Whether missing messages were lost rather than trimmed.

    Trimming removes the oldest first, and only when the window is full. So a message was lost if an older one
    or none at all is there, if some were lost before, or if it would have fitted by its bytes alone.
    """
    ours, sent = branch.replied, _exchanges(parts.earlier)
    at = 0
    for number, exchange in enumerate(ours):
        question = normalised(exchange.question)
        found = next((n for n in range(at, len(sent)) if sent[n] == (question, True)), None)
        if found is None:
            older = {normalised(later.question) for later in ours[number + 1 :]}
            has_older = any(earlier in older for earlier, _ in sent[at:])
            lost_before = branch.is_ours or number == 0 or has_older
            return lost_before or _would_fit(request, exchange, context_window)
        at = found + 1
    return False


def _exchanges(messages: Sequence[JsonObject]) -> list[tuple[str, bool]]:
    """The questions, and whether a reply follows; the latest first."""
    found: list[tuple[str, bool]] = []
    for message in messages:
        text = text_of(message)
        if message.get("role") == "user" and not text.startswith(FLATTENED):
            found.append((normalised(text), False))
        elif found:
            found[-1] = (found[-1][0], True)
    return found[::-1]


def _would_fit(request: ModelRequest, missing: Exchange, context_window: int) -> bool:
    sent = json.dumps([request.messages, request.tools], ensure_ascii=False)
    size = sum(len(text.encode("utf-8", "replace")) for text in (sent, missing.question, missing.reply))
    return size <= UNTRIMMED * (context_window - request.max_tokens)


def repaired(messages: Sequence[JsonObject], unanswered: set[str] | None = None) -> list[JsonObject]:
    """The messages as strict providers accept them: after the instructions a `user`, then alternating roles.

    Replies without their question are removed, as are tool calls without results and results without calls.
    Of two consecutive messages of one role, the first is removed if it is in `unanswered`; otherwise they are
    joined.
    """
    first = next((at for at, said in enumerate(messages) if said.get("role") not in SYSTEM), len(messages))
    begin = next((at for at in range(first, len(messages)) if messages[at].get("role") not in REPLIES), None)
    if begin is None:  # no question would be left
        return list(messages)
    found: list[JsonObject] = list(messages[:first])
    for message in _paired(messages[begin:]):
        before = found[-1] if len(found) > first else None
        if before is None or not _are_one(before, message):
            found.append(message)
        elif normalised(text_of(before)) in (unanswered or set()):
            found[-1] = message
        else:
            found[-1] = _joined(before, message)
    return found


def _are_one(before: JsonObject, message: JsonObject) -> bool:
    role = message.get("role")
    return role in {"user", "assistant"} and before.get("role") == role and not before.get("tool_calls")


def _joined(before: JsonObject, message: JsonObject) -> JsonObject:
    first, second = before.get("content"), message.get("content")
    if not first or not second:
        return {**before, **message, "content": first or second}
    if isinstance(first, str) and isinstance(second, str):
        return {**before, **message, "content": f"{first}\n\n{second}"}
    return {**before, **message, "content": [*_listed(first), *_listed(second)]}


def _listed(content: object) -> list[object]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _paired(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """Each tool call followed by its result, and neither alone; calls at the very end stay."""
    found: list[JsonObject] = []
    at = 0
    while at < len(messages):
        message, at = messages[at], at + 1
        if message.get("role") == "tool":
            continue
        if message.get("role") != "assistant" or not message.get("tool_calls"):
            found.append(message)
            continue
        answers = []
        while at < len(messages) and messages[at].get("role") == "tool":
            answers.append(messages[at])
            at += 1
        found += _answered(message, answers) if answers or at < len(messages) else [message]
    return found


def _answered(message: JsonObject, answers: list[JsonObject]) -> list[JsonObject]:
    ids = {answer.get("tool_call_id") for answer in answers}
    calls = [call for call in message["tool_calls"] if isinstance(call, dict) and call.get("id") in ids]
    if calls:
        known = {call["id"] for call in calls}
        return [
            {**message, "tool_calls": calls},
            *(answer for answer in answers if answer.get("tool_call_id") in known),
        ]
    plain = {name: value for name, value in message.items() if name != "tool_calls"}
    return [plain] if message.get("content") else []
