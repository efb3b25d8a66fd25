"""Translates input items into the messages of chat completions.

Reasoning, text and calls of one reply are items of their own here and one message there. Each message
remembers the field that it came from, so that errors can name it.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from gateway.api.responses.content import parts_of, plain_text, text_field
from gateway.api.responses.reasoning import CarriedReasoning, unseal_reasoning
from gateway.api.responses.tools import INPUT, LOCAL_SHELL, function_name
from gateway.calls.tool_names import wire_name
from gateway.providers.base import JsonObject
from kit.errors import InvalidInput

# Tuples: a client may send something unhashable in place of these words.
SYSTEM = ("system", "developer")
MESSAGES = (*SYSTEM, "user", "assistant")
CALLS = ("function_call", "custom_tool_call", "local_shell_call")
OUTPUTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
# Records of what the server did, which say nothing to the model, and tools, which are read elsewhere.
RECORDS = ("mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "additional_tools")
KNOWN = ("message", "reasoning", "item_reference", *sorted(CALLS), *sorted(OUTPUTS), "mcp_call")
ATTACHED = "Images and files in the result of the tool call {id}:"


@dataclass(slots=True)
class Translation:
    """Messages in order, and the field that each came from; ids of reasoning that was left out."""

    messages: list[JsonObject] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


class InputTranslator:
    """Takes items one by one; `done` gives the messages."""

    def __init__(self, *, tenant_id: UUID, model: str) -> None:
        self._tenant_id = tenant_id
        self._model = model
        self._result = Translation()
        self._reply: JsonObject = {}  # the assistant's message that is being assembled
        self._reply_source = ""
        self._carried: dict[str, JsonObject] = {}  # fields of the reply's calls that its provider wants back
        self._waiting: dict[str, str] = {}  # calls without an output, and their source
        self._delayed: list[tuple[JsonObject, str]] = []  # messages that came between a call and its output
        self._attached: list[tuple[str, list[JsonObject], str]] = []

    def add(self, item: Any, source: str) -> None:
        """InvalidInput names the item's field, below `source`."""
        if not isinstance(item, dict):
            raise InvalidInput(**{source: ["Send an object."]})
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind == "message":
            self._message(item, source)
        elif kind == "reasoning":
            self._reasoning(item, source)
        elif kind in CALLS:
            self._call(item, str(kind), source)
        elif kind in OUTPUTS:
            self._output(item, source)
        elif kind == "mcp_call":
            self._mcp_call(item, source)
        elif kind not in RECORDS:
            text = f"Items of this type are not supported here. Known: {', '.join(KNOWN)}."
            raise InvalidInput(**{f"{source}.type": [text]})

    def done(self) -> Translation:
        """InvalidInput if a call has no output."""
        self._end_reply()
        if self._waiting:
            call_id, source = next(iter(self._waiting.items()))
            raise InvalidInput(**{source: [f"No tool output found for function call {call_id}."]})
        self._end_outputs()
        return self._result

    def _message(self, item: JsonObject, source: str) -> None:
        role = item.get("role")
        if role not in MESSAGES:
            raise InvalidInput(**{f"{source}.role": [f"Send one of: {', '.join(sorted(MESSAGES))}."]})
        content = parts_of(item.get("content"), f"{source}.content")
        if role == "assistant":
            self._text(content, source)
            return
        self._end_reply()
        message: JsonObject = {"role": "user", "content": content}
        if role in SYSTEM:
            message = {"role": "system", "content": _joined_texts(content)}
        if self._waiting:
            self._delayed.append((message, source))
        else:
            self._end_outputs()
            self._put(message, source)

    def _put(self, message: JsonObject, source: str) -> None:
        """Instructions in a row become one message: many models take only one."""
        last = self._result.messages[-1] if self._result.messages else {}
        texts = (last.get("content"), message["content"])
        if message["role"] == last.get("role") == "system" and all(isinstance(text, str) for text in texts):
            last["content"] = "\n\n".join(text for text in texts if text)
            return
        self._result.messages.append(message)
        self._result.sources.append(source)

    def _part_of_reply(self, source: str) -> JsonObject:
        if not self._reply:
            self._reply = {"role": "assistant", "content": None}
            self._reply_source = source
        return self._reply

    def _text(self, content: str | list[JsonObject], source: str) -> None:
        reply = self._part_of_reply(source)
        text = content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content)
        reply["content"] = (reply["content"] or "") + text

    def _reasoning(self, item: JsonObject, source: str) -> None:
        """Only the model that made it gets it back."""
        carried = CarriedReasoning(self._model)
        if (sealed := item.get("encrypted_content")) is not None:
            found = unseal_reasoning(self._tenant_id, sealed)
            if found is None:
                text = "This was not made here, or its key is gone. Remove the item."
                raise InvalidInput(**{f"{source}.encrypted_content": [text]})
            carried = found
        if carried.model != self._model:
            self._result.removed.append(str(item.get("id", "")))
            return
        reply = self._part_of_reply(source)
        text = plain_text(item.get("summary")) or plain_text(item.get("content"))
        if text:
            reply["reasoning_content"] = reply.get("reasoning_content", "") + text
        if carried.details:
            reply["reasoning_details"] = [*reply.get("reasoning_details", []), *carried.details]
        self._carried |= carried.calls

    def _call(self, item: JsonObject, kind: str, source: str) -> None:
        call_id = text_field(item, "call_id", source)
        if kind == "function_call":
            given = item.get("arguments")
            arguments = given if isinstance(given, str) else json.dumps(given or {})
        elif kind == "custom_tool_call":
            arguments = json.dumps({INPUT: text_field(item, INPUT, source)}, ensure_ascii=False)
        else:
            action = item.get("action")
            named = action if isinstance(action, dict) else {}
            arguments = json.dumps({k: v for k, v in named.items() if k != "type" and v}, ensure_ascii=False)
        name = LOCAL_SHELL if kind == "local_shell_call" else text_field(item, "name", source)
        self._put_call(call_id, function_name(name, str(item.get("namespace") or "")), arguments, source)

    def _put_call(self, call_id: str, name: str, arguments: str, source: str) -> None:
        function = {"name": name, "arguments": arguments}
        call = {"id": call_id, "type": "function", "function": function, **self._carried.pop(call_id, {})}
        self._part_of_reply(source).setdefault("tool_calls", []).append(call)
        self._waiting[call_id] = source

    def _output(self, item: JsonObject, source: str) -> None:
        call_id = item.get("call_id") or item.get("id")
        self._end_reply()
        if not isinstance(call_id, str) or call_id not in self._waiting:
            text = f"No tool call found for function call output with call_id {call_id}."
            raise InvalidInput(**{f"{source}.call_id": [text]})
        output = item.get("output")
        parts = parts_of(output if output is not None else "", f"{source}.output")
        others = [] if isinstance(parts, str) else [part for part in parts if part["type"] != "text"]
        text = (
            parts if isinstance(parts, str) else "\n\n".join(p["text"] for p in parts if p["type"] == "text")
        )
        self._put_output(call_id, text or ("(See below.)" if others else ""), source)
        if others:
            self._attached.append((call_id, others, source))

    def _put_output(self, call_id: str, text: str, source: str) -> None:
        del self._waiting[call_id]
        self._put({"role": "tool", "tool_call_id": call_id, "content": text}, source)
        if not self._waiting:
            delayed, self._delayed = self._delayed, []
            if delayed:
                self._end_outputs()
            for message, at in delayed:
                self._put(message, at)

    def _end_outputs(self) -> None:
        """Images and files follow all outputs, as a message: many providers take only text in an output."""
        attached, self._attached = self._attached, []
        for call_id, parts, source in attached:
            content = [{"type": "text", "text": ATTACHED.format(id=call_id)}, *parts]
            self._put({"role": "user", "content": content}, source)

    def _mcp_call(self, item: JsonObject, source: str) -> None:
        """A call that the server made earlier, with its result."""
        call_id = str(item.get("id") or source)
        label, name = text_field(item, "server_label", source), text_field(item, "name", source)
        self._put_call(call_id, wire_name(name, label), text_field(item, "arguments", source), source)
        self._end_reply()
        error, output = item.get("error"), item.get("output")
        text = output if isinstance(output, str) else json.dumps(error) if error else ""
        self._put_output(call_id, text, source)

    def _end_reply(self) -> None:
        """Reasoning without text or calls is no message."""
        reply, source = self._reply, self._reply_source
        self._reply, self._carried = {}, {}
        calls = {call["id"] for call in reply.get("tool_calls", ())}
        if not calls and not reply.get("content"):
            return
        if self._waiting.keys() - calls:
            self._delayed.append((reply, source))
        else:
            self._end_outputs()
            self._put(reply, source)


def _joined_texts(content: str | list[JsonObject]) -> str | list[JsonObject]:
    """One text for parts that are only text."""
    if isinstance(content, str) or any(part["type"] != "text" for part in content):
        return content
    return "\n\n".join(part["text"] for part in content)
