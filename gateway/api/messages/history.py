"""Translates the messages of an Anthropic request into OpenAI's, and keeps the original of each."""

import json
from dataclasses import dataclass
from typing import Any

from gateway.api.messages.blocks import SERVER_RESULT, SERVER_USE
from gateway.api.messages.carrier import unpacked
from gateway.api.messages.content import (
    RESULT_PARTS,
    Part,
    block_parts,
    parts_of,
    text_part,
    texts_of,
)
from gateway.api.messages.inputs import a_list, a_string, an_object, objects_of, wrong
from gateway.calls.tool_names import wire_name
from gateway.providers import garbled
from gateway.providers.anthropic_content import THINKING_FORMAT
from gateway.providers.anthropic_native import NATIVE, SYSTEM
from gateway.providers.base import JsonObject
from gateway.providers.garbled import objects

Block = JsonObject
ROLES = ("user", "assistant", "system")
SERVER_BLOCKS = "Blocks of the provider's own tools are not supported here. Remove it."


@dataclass(frozen=True, slots=True)
class Translated:
    """A message in OpenAI's shape, its original role and blocks, and the path of what it came from.

    Of several messages from one original, the first has the blocks.
    """

    message: JsonObject
    role: str
    blocks: list[Block]
    path: str

    @property
    def with_original(self) -> JsonObject:
        return {**self.message, NATIVE: {"role": self.role, "content": self.blocks}}


def translated_messages(system: Any, messages: Any) -> list[Translated]:
    """InvalidInput with the path of each block that cannot be passed on."""
    found = _system(system, "system", SYSTEM) if system else []
    for path, message in objects_of(messages, "messages"):
        match message.get("role"):
            case "user":
                found += _user(message.get("content"), path)
            case "assistant":
                found += _assistant(message.get("content"), path)
            case "system":
                found += _system(message.get("content"), path, "system")
            case _:
                wrong(f"{path}.role", f"Send one of {', '.join(ROLES)}.")
    return found


def _system(content: Any, path: str, role: str) -> list[Translated]:
    text = "\n\n".join(texts_of(parts_of(content, path, ("text",))))
    return [Translated({"role": "system", "content": text}, role, _blocks(content), path)]


def _user(content: Any, path: str) -> list[Translated]:
    """Tool results become messages of their own, which come first; their images follow in the user's."""
    at = f"{path}.content"
    if isinstance(content, str):
        return [Translated({"role": "user", "content": content}, "user", _blocks(content), path)]
    results: list[JsonObject] = []
    parts: list[Part] = []
    rest: list[Part] = []
    for where, block in objects_of(content, at):
        if block.get("type") == "tool_result":
            message, others = _result(block, where)
            results.append(message)
            rest += others
        else:
            parts += block_parts(block, where)
    messages = list(results)
    if parts or rest or not results:
        messages.append({"role": "user", "content": joined([*rest, *parts])})
    blocks = [_blocks(content), *([] for _ in messages)]
    return [Translated(message, "user", own, path) for message, own in zip(messages, blocks, strict=False)]


def _result(block: Block, path: str) -> tuple[JsonObject, list[Part]]:
    """The tool's message, which has only text, and the parts that the user's message shows instead."""
    content = block.get("content")
    parts = [] if content is None else parts_of(content, f"{path}.content", RESULT_PARTS)
    text = "\n".join(texts_of(parts))
    call_id = a_string(block.get("tool_use_id"), f"{path}.tool_use_id")
    others = [part for part in parts if part["type"] != "text"]
    if others:
        text = f"{text}\n(See the attachment below.)".strip()
        others.insert(0, text_part(f"Attachment of the tool result {call_id}:"))
    if block.get("is_error") is True:
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": call_id, "content": text}, others


def _assistant(content: Any, path: str) -> list[Translated]:
    """Calls that ran here had their results within the reply: each round becomes messages of its own."""
    if isinstance(content, str):
        return [Translated({"role": "assistant", "content": content}, "assistant", _blocks(content), path)]
    rounds = [_Round()]
    for where, block in objects_of(content, f"{path}.content"):
        if block.get("type") == SERVER_RESULT:
            rounds[-1].add_result(block, where)
        else:
            if rounds[-1].results:
                rounds.append(_Round())
            rounds[-1].add(block, where)
    return [each for one in rounds for each in one.messages(path)]


class _Round:
    """One answer of the model, and the results of its calls that ran here."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: list[JsonObject] = []
        self.reasoning: list[str] = []
        self.details: list[JsonObject] = []
        self.extras: dict[str, JsonObject] = {}  # fields of calls that their provider wants back
        self.blocks: list[Block] = []
        self.results: list[tuple[JsonObject, Block]] = []

    def add(self, block: Block, path: str) -> None:
        match block.get("type"):
            case "text":
                self.texts.append(a_string(block.get("text"), f"{path}.text"))
                self.blocks.append(block)
            case "tool_use":
                self._add_call(block, path)
            case kind if kind == SERVER_USE:
                server = a_string(block.get("server_name"), f"{path}.server_name")
                name = wire_name(a_string(block.get("name"), f"{path}.name"), server)
                use: JsonObject = {
                    field: block[field] for field in ("id", "input", "cache_control") if field in block
                }
                self._add_call({"type": "tool_use", **use, "name": name}, path)
            case "thinking":
                self._think(block, path)
            case "redacted_thinking":
                self._hidden(block, path)
            case _:
                wrong(f"{path}.type", SERVER_BLOCKS)

    def add_result(self, block: Block, path: str) -> None:
        message, others = _result(block, path)
        if others:
            wrong(f"{path}.content", "Send only text.")
        self.results.append((message, {**block, "type": "tool_result"}))

    def _add_call(self, block: Block, path: str) -> None:
        self.calls.append(_call(block, path))
        self.blocks.append(block)

    def _think(self, block: Block, path: str) -> None:
        text = a_string(block.get("thinking"), f"{path}.thinking")
        signature = a_string(block.get("signature", ""), f"{path}.signature")
        if unpacked(signature) is not None or not signature:
            self.reasoning.append(text)  # another provider's: Anthropic would refuse the signature
            return
        detail = {"type": "reasoning.text", "text": text, "signature": signature, "format": THINKING_FORMAT}
        self.details.append(detail)
        self.blocks.append(block)

    def _hidden(self, block: Block, path: str) -> None:
        data = a_string(block.get("data"), f"{path}.data")
        content = unpacked(data)
        if content is None:
            self.details.append({"type": "reasoning.encrypted", "data": data, "format": THINKING_FORMAT})
            self.blocks.append(block)
            return
        self.details += objects(content.get("reasoning_details"))
        calls = garbled.an_object(content.get("calls"))
        self.extras |= {call_id: garbled.an_object(fields) for call_id, fields in calls.items()}

    def messages(self, path: str) -> list[Translated]:
        message: JsonObject = {"role": "assistant", "content": "".join(self.texts) or None}
        if self.calls:
            message["tool_calls"] = [{**self.extras.get(call["id"], {}), **call} for call in self.calls]
        elif message["content"] is None:
            message["content"] = ""
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.details:
            message["reasoning_details"] = self.details
        said = Translated(message, "assistant", self.blocks, path)
        return [said, *(Translated(result, "user", [block], path) for result, block in self.results)]


def _call(block: Block, path: str) -> JsonObject:
    arguments = an_object(block.get("input", {}), f"{path}.input")
    return {
        "id": a_string(block.get("id"), f"{path}.id"),
        "type": "function",
        "function": {
            "name": a_string(block.get("name"), f"{path}.name"),
            "arguments": json.dumps(arguments, ensure_ascii=False),
        },
    }


def joined(parts: list[Part]) -> str | list[Part]:
    """One text if there is nothing else: not every server accepts a list."""
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(texts_of(parts))
    return parts


def _blocks(content: Any) -> list[Block]:
    if isinstance(content, str):
        return [text_part(content)] if content.strip() else []
    return list(a_list(content, "content"))
