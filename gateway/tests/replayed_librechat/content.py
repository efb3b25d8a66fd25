"""The growing parts of a reply: texts, thoughts, tool calls, an error at the end."""

from gateway.tests.replayed_librechat.answers import Json


class Content:
    """LibreChat's aggregatedContent."""

    def __init__(self) -> None:
        self.parts: list[Json] = []
        self.calls: dict[str, Json] = {}

    def add(self, kind: str, text: str) -> None:
        """Appends to the last part, if it is of this kind: `text` or `think`."""
        if not self.parts or self.parts[-1]["type"] != kind:
            self.parts.append({"type": kind, kind: ""})
        self.parts[-1][kind] += text

    def open_call(self, call_id: str, name: str) -> None:
        call = {"id": call_id, "name": name, "args": "", "type": "tool_call", "progress": 0.1}
        self.calls[call_id] = call
        self.parts.append({"type": "tool_call", "tool_call": call})

    def add_arguments(self, call_id: str, text: str) -> None:
        self.calls[call_id]["args"] += text

    def complete(self, call_id: str, arguments: str, output: str) -> None:
        self.calls[call_id] |= {"args": arguments, "progress": 1, "output": output}

    def fail(self, message: str) -> None:
        text = f"An error occurred while processing the request: {message}"
        self.parts.append({"type": "error", "error": text})

    @property
    def text(self) -> str:
        return "".join(part["text"] for part in self.parts if part["type"] == "text")
