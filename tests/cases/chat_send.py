"""Reads the events of `/v1/chat/send`."""

from tests.cases.http_answers import Answer
from tests.cases.observation import Call, Observed, error_of


def read_native(answer: Answer) -> Observed:
    found = Observed(answer)
    if answer.status != 200:
        found.error, found.is_complete = error_of(answer.json(), answer.status), True
        return found
    for at, event, data in answer.frames():
        if not isinstance(data, dict):
            continue
        found.parsed.append(data)
        found.events.append(event)
        match event:
            case "delta":
                found.text += data.get("text") or ""
                found.note_word(at)
            case "reasoning":
                found.reasoning += data.get("text") or ""
                found.note_word(at)
            case "tool_call":
                call_id, tool = data.get("call_id") or "", data.get("tool") or ""
                found.calls.append(Call(call_id, tool, data.get("arguments")))
            case "usage":
                found.usage = {"input": data.get("input_tokens"), "output": data.get("output_tokens")}
                found.cost = data.get("cost")
            case "error":
                found.error = error_of(data)
            case "started":
                found.model = data.get("model")
            case "done":
                found.finish_reason, found.is_complete = data.get("finish_reason"), True
    return found
