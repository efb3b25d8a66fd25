"""Assembles streamed tool calls, so that each call has one index, id, name and arguments object."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from gateway.providers.argument_text import ArgumentText
from gateway.providers.base import JsonObject
from gateway.providers.garbled import a_text, an_object, is_count, reported_count

LONGEST_NAME = 1024  # characters to wait for; providers allow at most 128
READ = {"index", "id", "type", "function", "custom", "name", "arguments", "parameters", "input"}


class _Call:
    """One call, announced with its first arguments, when its name is known to be complete."""

    def __init__(self, index: int, call_id: str) -> None:
        self.index = index
        self.id = call_id  # empty until the server sends one
        self.name = ""
        self.kind = "function"
        self.extras: JsonObject = {}  # other fields, which the provider may want back
        self.arguments = ArgumentText()
        self.is_announced = False

    def announcement(self) -> JsonObject:
        self.is_announced = True
        extras, self.extras = self.extras, {}
        name = self.name.strip()
        body = {"name": name, "input": ""} if self.kind == "custom" else {"name": name, "arguments": ""}
        return {"index": self.index, "id": self.id, "type": self.kind, self.kind: body, **extras}

    def addition(self, text: str) -> JsonObject:
        field = "input" if self.kind == "custom" else "arguments"
        return {"index": self.index, self.kind: {field: text}}


class ToolCallPieces:
    """Which call each piece belongs to, even if a server sends no `index`, or 0 for every call.

    A piece with a new id and a name begins another call: this is how Gemini streams parallel ones. So does
    a piece with a name after a call whose arguments are complete.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []  # by our index
        self._at: dict[int, _Call] = {}  # by the server's index, which it may reuse
        self._by_id: dict[str, _Call] = {}  # the first with this id
        self._latest: _Call | None = None

    @property
    def calls(self) -> int:
        return len(self._calls)

    def add(self, piece: JsonObject) -> Iterator[JsonObject]:
        """The pieces in OpenAI's format that this one completes."""
        kind = "custom" if isinstance(piece.get("custom"), dict) else "function"
        body = an_object(piece.get(kind)) or piece
        name, call_id, text = _name(body), a_text(piece.get("id")), _arguments(body)
        call = self._call_of(_index(piece), call_id, name, text)
        if call is not self._latest and self._latest is not None:
            yield from self._announced(self._latest)
        self._latest = call
        self._take_id(call, call_id)
        call.kind = kind if not call.is_announced else call.kind
        self._take_name(call, name)
        if len(call.name) > LONGEST_NAME:
            yield from self._announced(call)
        call.extras |= {field: value for field, value in piece.items() if field not in READ and value}
        added = a_text(text) if call.kind == "custom" else call.arguments.add(text)
        if added:
            yield from self._announced(call)
            yield call.addition(added)
        if call.is_announced and call.extras:
            extras, call.extras = call.extras, {}
            yield {"index": call.index, call.kind: {}, **extras}

    def end(self) -> Iterator[JsonObject]:
        """Everything held back: names, and arguments that are missing or not an object."""
        for call in self._calls:
            yield from self._announced(call)
            if call.kind == "function" and (text := call.arguments.end()):
                yield call.addition(text)

    def _announced(self, call: _Call) -> Iterator[JsonObject]:
        if not call.is_announced:
            call.id = call.id or f"call_{uuid4().hex[:24]}"
            yield call.announcement()

    def _take_id(self, call: _Call, call_id: str) -> None:
        """The server's first id, unless another call has it."""
        if call_id and not call.id and self._by_id.setdefault(call_id, call) is call:
            call.id = call_id

    @staticmethod
    def _take_name(call: _Call, name: str) -> None:
        """A name may be split across pieces before the arguments, or be complete in every piece."""
        if call.is_announced or not name or name == call.name:
            return
        call.name = name if name.startswith(call.name) else call.name + name

    def _call_of(self, index: int | None, call_id: str, name: str, text: Any) -> _Call:
        if index is not None:
            call = self._at.get(index)
            if call is None or self._begins_another(call, call_id, name, text):
                self._at[index] = call = self._new()
            return call
        call = self._by_id.get(call_id) if call_id else self._latest
        if call is None or (name and call.name and self._begins_another(call, call_id, name, text)):
            call = self._new()
        return call

    @staticmethod
    def _begins_another(call: _Call, call_id: str, name: str, text: Any) -> bool:
        if not name or call.arguments.repeats(text):
            return False
        has_other_id = bool(call_id and call.id and call_id != call.id)
        return has_other_id or (
            call.arguments.is_complete and not (call_id and call_id == call.id and not text)
        )

    def _new(self) -> _Call:
        call = _Call(len(self._calls), "")
        self._calls.append(call)
        return call


def _name(body: JsonObject) -> str:
    """Without the extra text of some models: `functions.search`, `search<|channel|>commentary`."""
    return a_text(body.get("name")).partition("<|")[0].removeprefix("functions.")


def _index(piece: JsonObject) -> int | None:
    index = reported_count(piece.get("index"))
    return index if is_count(index) else None


def _arguments(body: JsonObject) -> Any:
    return next((body[name] for name in ("arguments", "parameters", "input") if name in body), None)
