"""Reads `/v1/responses` as OpenAI's reference of the Responses API and its stream events describes it.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from typing import Any

from tests.cases.comparison import short
from tests.cases.http_answers import Answer
from tests.cases.observation import Call, ErrorSeen, Observed, error_of

ENDS = {"response.completed", "response.incomplete", "response.failed"}


def read_responses(answer: Answer) -> Observed:
    return _Stream(answer).read() if answer.is_stream else _read_whole(answer)


def _read_whole(answer: Answer) -> Observed:
    found, body = Observed(answer, is_complete=True), answer.json()
    if answer.status == 200 and isinstance(body, dict) and body.get("object") == "response":
        found.parsed = [body]
        _read_response(found, body)
        found.faults += _faults_of(body)
    elif answer.status:
        found.error = error_of(body, answer.status)
    return found


def _read_response(found: Observed, response: dict[str, Any]) -> None:
    found.model, found.usage = response.get("model"), _usage_of(response.get("usage"))
    for item in response.get("output") or []:
        match item.get("type"):
            case "message":
                for part in item.get("content") or []:
                    found.text += part.get("text") or ""
                    found.refusal += part.get("refusal") or ""
            case "reasoning":
                found.reasoning += _reasoning_of(item)
            case "function_call":
                found.calls.append(
                    Call(item.get("call_id") or "", item.get("name") or "", item.get("arguments"))
                )
    if error := response.get("error"):
        found.error = error_of({"error": error})
    found.finish_reason = _finish_of(response)


def _reasoning_of(item: dict[str, Any]) -> str:
    """Reasoning is in `content` if the model reveals it, else in `summary`."""
    parts = item.get("content") or item.get("summary") or []
    return "".join(part.get("text") or "" for part in parts)


def _finish_of(response: dict[str, Any]) -> str | None:
    match response.get("status"):
        case "completed":
            kinds = {item.get("type") for item in response.get("output") or []}
            return "tool_calls" if "function_call" in kinds else "stop"
        case "incomplete":
            reason = (response.get("incomplete_details") or {}).get("reason")
            return "length" if reason == "max_output_tokens" else str(reason)
    return None


def _usage_of(usage: Any) -> dict[str, Any]:
    if not isinstance(usage, dict):
        return {}
    return {
        "input": usage.get("input_tokens"),
        "output": usage.get("output_tokens"),
        "cached": (usage.get("input_tokens_details") or {}).get("cached_tokens"),
        "reasoning": (usage.get("output_tokens_details") or {}).get("reasoning_tokens"),
    }


def _faults_of(response: dict[str, Any]) -> list[str]:
    """Violations of what the official types require of a finished response."""
    missing = {"id", "created_at", "status", "output", "model"} - set(response)
    faults = [f"the response has no {', '.join(sorted(missing))}"] if missing else []
    ids = [item.get("id") for item in response.get("output") or []]
    if len(set(ids)) != len(ids) or not all(ids):
        faults.append(f"the items' ids are {short(ids)}")
    return faults


class _Stream:
    """Merges the deltas and compares the result with the final response."""

    def __init__(self, answer: Answer) -> None:
        self.found = Observed(answer)
        self.calls: dict[int, Call] = {}
        self.items: set[int] = set()
        self.number = -1
        self.end: dict[str, Any] | None = None

    def read(self) -> Observed:
        for at, event, data in self.found.answer.frames():
            if isinstance(data, dict):
                self.found.parsed.append(data)
                self._check_order(event, data)
                self._add(data.get("type") or event, data, at)
        self.found.calls = list(self.calls.values())
        if self.end is not None:
            self._finish(self.end)
        return self.found

    def _check_order(self, event: str, data: dict[str, Any]) -> None:
        faults, kind = self.found.faults, data.get("type")
        if kind != event:
            faults.append(f"event {event} has type {kind}")
        if self.number < 0 and kind not in {"response.created", "error"}:
            faults.append(f"the first event is {kind}")
        number = data.get("sequence_number")
        if not isinstance(number, int) or number <= self.number:
            faults.append(f"{kind} has sequence_number {number} after {self.number}")
        else:
            self.number = number
        if self.end is not None:
            faults.append(f"{kind} after the end")
        at = data.get("output_index")
        if at is not None and kind != "response.output_item.added" and at not in self.items:
            faults.append(f"{kind} for item {at}, which was not added")

    def _add(self, kind: str, data: dict[str, Any], at: float) -> None:
        delta = data.get("delta")
        if isinstance(delta, str) and delta:
            self.found.note_word(at)
        match kind:
            case "response.created":
                self.found.model = (data.get("response") or {}).get("model")
            case "response.output_item.added":
                self._add_item(data["output_index"], data["item"], at)
            case "response.output_text.delta":
                self.found.text += delta or ""
            case "response.refusal.delta":
                self.found.refusal += delta or ""
            case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
                self.found.reasoning += delta or ""
            case "response.function_call_arguments.delta":
                self.calls.setdefault(data["output_index"], Call()).arguments += delta or ""
            case "error":
                self.found.error = _error_event(data)
            case _ if kind in ENDS:
                self.end = data["response"]

    def _add_item(self, index: int, item: dict[str, Any], at: float) -> None:
        self.items.add(index)
        if item.get("type") == "function_call":
            self.found.note_word(at)
            self.calls[index] = Call(
                item.get("call_id") or "", item.get("name") or "", item.get("arguments") or ""
            )

    def _finish(self, response: dict[str, Any]) -> None:
        found, whole = self.found, Observed(self.found.answer)
        _read_response(whole, response)
        found.is_complete, found.model = True, whole.model
        found.usage, found.finish_reason, found.error = (
            whole.usage,
            whole.finish_reason,
            whole.error or found.error,
        )
        found.faults += _faults_of(response)
        for name in ("text", "reasoning", "refusal", "calls"):
            streamed, final = getattr(found, name), getattr(whole, name)
            if streamed != final and not found.error:
                found.faults.append(f"streamed {name} {short(str(streamed))}, final {short(str(final))}")


def _error_event(data: dict[str, Any]) -> ErrorSeen:
    """The `error` event has code, message and param at its top level, like its type."""
    inner = data.get("error") if isinstance(data.get("error"), dict) else data
    return error_of({"error": inner})
