"""The items of a response while they are written: each with the events that report it to a client.

An event is a dict without `sequence_number`, which the writer of the stream adds.
Protocol: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from gateway.api.responses.tools import LOCAL_SHELL, ClientTool, custom_input
from gateway.engines.call_arguments import arguments_of
from gateway.providers.base import JsonObject
from workspaces.mcp_servers.queries import ServerRef

Events = Iterator[JsonObject]
COMPLETED = "completed"


class OutputItem(ABC):
    """One item: `opened`, pieces as they come, `closed` once."""

    def __init__(self, item: JsonObject, index: int) -> None:
        self.item = item
        self.index = index
        self.is_closed = False

    def opened(self) -> Events:
        yield self._event("response.output_item.added", item=dict(self.item), output_index=self.index)

    def closed(self, status: str = COMPLETED) -> Events:
        """`status` is `incomplete` for an item that was cut off."""
        if not self.is_closed:
            self.is_closed = True
            yield from self._finished(status)
            if "status" in self.item:
                self.item["status"] = status
            done = {"item": dict(self.item), "output_index": self.index}
            yield self._event("response.output_item.done", **done)

    @abstractmethod
    def _finished(self, status: str) -> Events:
        """The events between the last piece and the end; completes the item."""

    def _event(self, kind: str, **fields: Any) -> JsonObject:
        return {"type": kind, **fields}

    def _own(self, kind: str, **fields: Any) -> JsonObject:
        return self._event(kind, item_id=self.item["id"], output_index=self.index, **fields)


class MessageItem(OutputItem):
    """The assistant's text, or refusal, in parts."""

    def __init__(self, item_id: str, index: int) -> None:
        head = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress"}
        super().__init__({**head, "content": []}, index)
        self._texts: list[str] = []  # pieces of the last part

    def opened(self) -> Events:
        yield self._event(
            "response.output_item.added", item={**self.item, "content": []}, output_index=self.index
        )

    @property
    def _parts(self) -> list[JsonObject]:
        parts: list[JsonObject] = self.item["content"]
        return parts

    @property
    def _at(self) -> int:
        return len(self._parts) - 1

    def text(self, text: str) -> Events:
        yield from self._part("output_text")
        self._texts.append(text)
        yield self._own("response.output_text.delta", content_index=self._at, delta=text, logprobs=[])

    def refusal(self, text: str) -> Events:
        yield from self._part("refusal")
        self._texts.append(text)
        yield self._own("response.refusal.delta", content_index=self._at, delta=text)

    def annotate(self, annotation: JsonObject) -> Events:
        yield from self._part("output_text")
        annotations = self._parts[-1]["annotations"]
        annotations.append(annotation)
        yield self._own(
            "response.output_text.annotation.added",
            content_index=self._at,
            annotation_index=len(annotations) - 1,
            annotation=annotation,
        )

    def add_logprobs(self, logprobs: list[JsonObject]) -> Events:
        yield from self._part("output_text")
        self._parts[-1]["logprobs"] += logprobs

    def _part(self, kind: str) -> Events:
        """Begins a part of this kind unless it is the last one."""
        if self._parts and self._parts[-1]["type"] == kind:
            return
        yield from self._end_part()
        field = "refusal" if kind == "refusal" else "text"
        part: JsonObject = {"type": kind, field: ""}
        if kind == "output_text":
            part |= {"annotations": [], "logprobs": []}
        self._parts.append(part)
        shown = {name: list(value) if isinstance(value, list) else value for name, value in part.items()}
        yield self._own("response.content_part.added", content_index=self._at, part=shown)

    def _end_part(self) -> Events:
        if not self._parts:
            return
        part, text = self._parts[-1], "".join(self._texts)
        self._texts.clear()
        if part["type"] == "refusal":
            part["refusal"] = text
            yield self._own("response.refusal.done", content_index=self._at, refusal=text)
        else:
            part["text"] = text
            logprobs = part["logprobs"]
            yield self._own("response.output_text.done", content_index=self._at, text=text, logprobs=logprobs)
        yield self._own("response.content_part.done", content_index=self._at, part=dict(part))

    def _finished(self, status: str) -> Events:
        if not self._parts:
            yield from self._part("output_text")
        yield from self._end_part()


class ReasoningItem(OutputItem):
    """The model's reasoning as a summary, and what its provider wants back of it."""

    def __init__(self, item_id: str, index: int) -> None:
        super().__init__({"id": item_id, "type": "reasoning", "summary": []}, index)
        self._texts: list[str] = []
        self.details: list[Any] = []  # batches of `reasoning_details` as they came
        self.calls: dict[str, JsonObject] = {}
        self.encrypted: str | None = None  # to be set before it is closed

    def opened(self) -> Events:
        yield self._event(
            "response.output_item.added", item={**self.item, "summary": []}, output_index=self.index
        )

    def text(self, text: str) -> Events:
        if not self._texts:
            part = {"type": "summary_text", "text": ""}
            yield self._own("response.reasoning_summary_part.added", summary_index=0, part=part)
        self._texts.append(text)
        yield self._own("response.reasoning_summary_text.delta", summary_index=0, delta=text)

    def _finished(self, status: str) -> Events:
        if self._texts:
            text = "".join(self._texts)
            part = {"type": "summary_text", "text": text}
            self.item["summary"] = [part]
            yield self._own("response.reasoning_summary_text.done", summary_index=0, text=text)
            yield self._own("response.reasoning_summary_part.done", summary_index=0, part=dict(part))
        if self.encrypted is not None:
            self.item["encrypted_content"] = self.encrypted


class FunctionCallItem(OutputItem):
    """A call of one of the client's functions."""

    def __init__(self, item_id: str, index: int, call_id: str, tool: ClientTool) -> None:
        item = {"id": item_id, "type": "function_call", "status": "in_progress", "arguments": ""}
        named = {"call_id": call_id, "name": tool.name}
        super().__init__(
            {**item, **named, **({"namespace": tool.namespace} if tool.namespace else {})}, index
        )
        self._pieces: list[str] = []

    def arguments(self, text: str) -> Events:
        self._pieces.append(text)
        yield self._own("response.function_call_arguments.delta", delta=text)

    def _finished(self, status: str) -> Events:
        arguments = "".join(self._pieces)
        self.item["arguments"] = arguments
        yield self._own("response.function_call_arguments.done", arguments=arguments, name=self.item["name"])


class CustomCallItem(OutputItem):
    """A call of a custom tool: its input is known once the function's arguments are whole."""

    def __init__(self, item_id: str, index: int, call_id: str, tool: ClientTool) -> None:
        item = {"id": item_id, "type": "custom_tool_call", "status": "in_progress", "input": ""}
        named = {"call_id": call_id, "name": tool.name}
        super().__init__(
            {**item, **named, **({"namespace": tool.namespace} if tool.namespace else {})}, index
        )
        self._pieces: list[str] = []

    def arguments(self, text: str) -> Events:
        self._pieces.append(text)
        yield from ()

    def _finished(self, status: str) -> Events:
        text = custom_input("".join(self._pieces))
        self.item["input"] = text
        if text:
            yield self._own("response.custom_tool_call_input.delta", delta=text)
        yield self._own("response.custom_tool_call_input.done", input=text)


class ShellCallItem(OutputItem):
    """A command that the client runs on its own computer; it has no events of its own."""

    def __init__(self, item_id: str, index: int, call_id: str, tool: ClientTool) -> None:
        action = {"type": "exec", "command": [], "env": {}}
        head = {"id": item_id, "type": "local_shell_call", "status": "in_progress"}
        super().__init__({**head, "call_id": call_id, "action": action}, index)
        self._pieces: list[str] = []

    def arguments(self, text: str) -> Events:
        self._pieces.append(text)
        yield from ()

    def _finished(self, status: str) -> Events:
        yield from ()
        given = arguments_of("".join(self._pieces))
        wanted = given if isinstance(given, dict) else {"command": str(given)}
        command = wanted.pop("command", [])
        words = command if isinstance(command, list) else ["bash", "-lc", str(command)]
        wanted.pop("env", None)
        self.item["action"] = {
            "type": "exec",
            "command": [str(word) for word in words],
            "env": {},
            **{name: wanted[name] for name in ("timeout_ms", "working_directory", "user") if name in wanted},
        }


CallItem = FunctionCallItem | CustomCallItem | ShellCallItem
CALL_ITEMS: dict[str, tuple[str, type[CallItem]]] = {
    "function": ("fc", FunctionCallItem),
    "custom": ("ctc", CustomCallItem),
    LOCAL_SHELL: ("lsh", ShellCallItem),
}


class McpCallItem(OutputItem):
    """A call of a tool of the workspace, which the server ran."""

    def __init__(self, item_id: str, index: int, *, server: str, tool: str, arguments: str) -> None:
        head = {"id": item_id, "type": "mcp_call", "status": "in_progress", "approval_request_id": None}
        named = {"server_label": server, "name": tool, "arguments": arguments}
        super().__init__({**head, **named, "output": None, "error": None}, index)
        self.failed = False

    def opened(self) -> Events:
        yield self._event(
            "response.output_item.added", item={**self.item, "arguments": ""}, output_index=self.index
        )
        yield self._own("response.mcp_call.in_progress")
        yield self._own("response.mcp_call_arguments.delta", delta=self.item["arguments"])
        yield self._own("response.mcp_call_arguments.done", arguments=self.item["arguments"])

    def result(self, output: str, *, is_error: bool) -> Events:
        self.failed = is_error
        if is_error:
            content = [{"type": "text", "text": output}]
            self.item["error"] = {"type": "mcp_tool_execution_error", "content": content}
        else:
            self.item["output"] = output
        yield from self.closed("failed" if is_error else COMPLETED)

    def _finished(self, status: str) -> Events:
        is_done = status == COMPLETED
        yield self._own("response.mcp_call.completed" if is_done else "response.mcp_call.failed")


class ToolListItem(OutputItem):
    """The tools of one of the workspace's MCP servers that the model may call."""

    def __init__(self, item_id: str, index: int, *, server: ServerRef) -> None:
        tools = [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.input_schema,
                "annotations": None,
            }
            for tool in server.tools
        ]
        head = {"id": item_id, "type": "mcp_list_tools", "server_label": server.slug}
        super().__init__({**head, "tools": tools, "error": None}, index)

    def opened(self) -> Events:
        yield self._event(
            "response.output_item.added", item={**self.item, "tools": []}, output_index=self.index
        )
        yield self._own("response.mcp_list_tools.in_progress")

    def _finished(self, status: str) -> Events:
        yield self._own("response.mcp_list_tools.completed")


class WholeItem(OutputItem):
    """An item that arrives whole, such as an image."""

    def _finished(self, status: str) -> Events:
        yield from ()
