"""Reads `/v1/chat/completions` and merges a stream as openai-python does: ids and names are concatenated."""

from collections import defaultdict
from typing import Any

from tests.cases.http_answers import Answer
from tests.cases.observation import Call, Observed, error_of, text_of


def read_chat(answer: Answer) -> Observed:
    return _read_stream(answer) if answer.is_stream else _read_whole(answer)


def _read_whole(answer: Answer) -> Observed:
    found, body = Observed(answer, is_complete=True), answer.json()
    if answer.status >= 400 or (isinstance(body, dict) and "error" in body):
        found.error = error_of(body, answer.status)
    elif answer.status == 200 and isinstance(body, dict):
        _read_completion(found, body)
    elif answer.status:
        found.error = error_of({}, answer.status)
    return found


def _read_completion(found: Observed, body: dict[str, Any]) -> None:
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    found.parsed, found.model, found.usage = [body], body.get("model"), usage_of(body.get("usage"))
    found.text, found.refusal = text_of(message.get("content")), message.get("refusal") or ""
    found.reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    found.finish_reason = choice.get("finish_reason")
    for call in message.get("tool_calls") or []:
        function = call.get("function") or {}
        found.calls.append(Call(call.get("id") or "", function.get("name") or "", function.get("arguments")))


def _read_stream(answer: Answer) -> Observed:
    found, calls = Observed(answer), defaultdict[Any, Call](Call)
    for at, _, data in answer.frames():
        if data == "[DONE]":
            found.is_complete = True
        if not isinstance(data, dict):
            continue
        found.parsed.append(data)
        if "error" in data:
            found.error = error_of(data)
            continue
        found.model = data.get("model") or found.model
        found.usage = usage_of(data.get("usage")) or found.usage
        for choice in data.get("choices") or []:
            _add_choice(found, calls, choice, at)
    found.calls = list(calls.values())
    return found


def _add_choice(found: Observed, calls: dict[Any, Call], choice: dict[str, Any], at: float) -> None:
    delta = choice.get("delta") or {}
    if delta.get("content") or delta.get("reasoning_content") or delta.get("tool_calls"):
        found.note_word(at)
    found.text += text_of(delta.get("content"))
    found.reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
    found.refusal += delta.get("refusal") or ""
    found.finish_reason = choice.get("finish_reason") or found.finish_reason
    for piece in delta.get("tool_calls") or []:
        call, function = calls[piece.get("index")], piece.get("function") or {}
        call.id += piece.get("id") or ""
        call.name += function.get("name") or ""
        arguments = function.get("arguments")
        if arguments is not None:
            call.arguments += arguments if isinstance(arguments, str) else " NO TEXT "


def usage_of(usage: Any) -> dict[str, Any]:
    if not isinstance(usage, dict):
        return {}
    return {
        "input": usage.get("prompt_tokens"),
        "output": usage.get("completion_tokens"),
        "cached": (usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        "reasoning": (usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
    }
