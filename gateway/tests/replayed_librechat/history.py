"""Builds the messages of a model call from the stored ones, within the context window."""

from gateway.tests.replayed_librechat import tools
from gateway.tests.replayed_librechat.answers import Json, compact
from gateway.tests.replayed_librechat.model_client import ModelFailure

NO_ROOM = (
    "Message pruning removed all messages as none fit in the context window. Please increase the context "
    "window size or make your message shorter."
)


def model_messages(chain: list[Json], text: str, prefix: str | None, bound: int, parts: bool) -> list[Json]:
    """System first, then as much of the history as the bound allows, then the user's text."""
    system = [{"role": "system", "content": prefix}] if prefix else []
    latest = [{"role": "user", "content": text}]
    earlier = [said for message in chain for said in _said(message, parts)]
    left = bound - sum(map(count, system + latest))
    if left < 0:
        raise ModelFailure(compact({"type": "empty_messages", "info": NO_ROOM}))
    while earlier and (sum(map(count, earlier)) > left or earlier[0]["role"] == "tool"):
        earlier.pop(0)
    return [*system, *earlier, *latest]


def flattened(calls: list[Json]) -> str:
    """Calls of tools that were never offered, which newer SDKs put into a user message."""
    lines = [
        f"AI: [tool_call] {call['name']} {call['args']}\nTool: {call.get('output', '')}" for call in calls
    ]
    return "[Previous tool interaction]\n" + "\n".join(lines)


def count(message: Json) -> int:
    """One token per word."""
    content = message["content"]
    text = content if isinstance(content, str) else _joined(content)
    return len(text.split())


def _said(message: Json, parts: bool) -> list[Json]:
    if message["isCreatedByUser"]:
        return [{"role": "user", "content": message["text"]}]
    return _replied(message["content"], parts)


def _replied(content: list[Json], as_parts: bool) -> list[Json]:
    """A reply's parts as assistant and tool messages; thoughts and errors are left out."""
    said: list[Json] = []
    texts: list[Json] = []
    caller: Json | None = None
    for part in content:
        if part["type"] == "text" and part["text"].strip():
            texts.append(part)
        elif part["type"] == "tool_call":
            if caller is None or texts:
                caller = {"role": "assistant", "content": _joined(texts), "tool_calls": []}
                said.append(caller)
                texts = []
            caller["tool_calls"].append(requested(part["tool_call"]))
            said.append(answered(part["tool_call"]))
    if texts:
        plain = not as_parts or any(part["type"] == "think" for part in content)
        said.append({"role": "assistant", "content": _joined(texts) if plain else texts})
    return said


def requested(call: Json) -> Json:
    arguments = compact(tools.parsed(call["args"]))
    return {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": arguments}}


def answered(call: Json) -> Json:
    return {"role": "tool", "tool_call_id": call["id"], "content": call.get("output", "")}


def _joined(texts: list[Json]) -> str:
    return "\n".join(part["text"] for part in texts)
