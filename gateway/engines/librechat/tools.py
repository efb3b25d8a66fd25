"""The tool calls in a reply of LibreChat: each is sent once its arguments are complete, and answered once."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from gateway.engines.call_arguments import arguments_of, storable
from gateway.engines.events import Event, ToolCall, ToolResult
from gateway.engines.librechat.registrations import KnownServer, split_name
from gateway.providers.base import JsonObject
from gateway.providers.soundness import sound

# How the output of a failed tool begins, or of one that LibreChat did not call. For a call that the egress
# ran, the egress knows better.
ERRORS = ("Error executing tool", "Error processing tool", "Error: ")


class ToolCalls:
    """Collects the pieces of tool calls; `clock` returns seconds, `servers` are by LibreChat's names."""

    def __init__(self, clock: Callable[[], float], servers: dict[str, KnownServer] | None = None) -> None:
        self._clock = clock
        self._servers = {} if servers is None else servers
        self._open: dict[str, JsonObject] = {}  # not announced yet, by call id: {name, args}
        self._steps: dict[str, list[str]] = {}  # the call ids of a step
        self._begun: dict[str, float] = {}  # when a call was announced
        self._announced: set[str] = set()
        self._answered: set[str] = set()

    def begin(self, step: JsonObject) -> None:
        """A step that calls tools; their arguments may be complete, partial or missing."""
        details = step.get("stepDetails")
        calls = details.get("tool_calls") if isinstance(details, dict) else None
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict) and isinstance(call.get("id"), str):
                self._learn(call["id"], call)
                known = self._steps.setdefault(str(step.get("id")), [])
                if call["id"] not in known:
                    known.append(call["id"])

    def grow(self, data: JsonObject) -> None:
        """A piece of a call's arguments; it repeats arguments that were complete from the start."""
        delta = data.get("delta")
        pieces = delta.get("tool_calls") if isinstance(delta, dict) else None
        known = self._steps.get(str(data.get("id")), [])
        for piece in pieces if isinstance(pieces, list) else []:
            if not isinstance(piece, dict):
                continue
            call_id = piece.get("id") or _at(known, piece.get("index"))
            call = self._open.get(str(call_id))
            if call is not None and isinstance(call["args"], str) and isinstance(piece.get("args"), str):
                call["args"] += piece["args"]
                call["name"] = call["name"] or piece.get("name") or ""

    def announce(self) -> Iterator[Event]:
        """The calls whose arguments are complete by now."""
        for call_id, call in list(self._open.items()):
            yield from self._announce(call_id, call)

    def finish(self, call: JsonObject) -> Iterator[Event]:
        """A tool has answered."""
        call_id = call.get("id")
        if isinstance(call_id, str) and call_id not in self._answered:
            yield from self._announce(call_id, call)
            yield self._result(call_id, call)

    def recall(self, call: JsonObject) -> Iterator[Event]:
        """A call in a complete reply; without an answer it is still running."""
        if call.get("output") is not None or call.get("progress") == 1:
            yield from self.finish(call)
        elif isinstance(call.get("id"), str):
            self._learn(call["id"], call)

    def remember(self, event: Event) -> None:
        """A call or a result that was sent before a takeover."""
        match event:
            case ToolCall(call_id):
                self._announced.add(call_id)
            case ToolResult(call_id):
                self._answered.add(call_id)

    def note_announced(self, call_id: str) -> bool:
        """The call is announced by the caller; False if it was announced already."""
        if call_id in self._announced:
            return False
        self._announced.add(call_id)
        self._begun[call_id] = self._clock()
        return True

    def _learn(self, call_id: str, call: JsonObject) -> None:
        """Stores a call that was not announced yet, with the longest arguments seen so far."""
        if call_id not in self._announced:
            known = self._open.setdefault(call_id, {"name": "", "args": ""})
            known["name"] = known["name"] or call.get("name") or ""
            known["args"] = _longer(known["args"], call.get("args") or "")

    def _announce(self, call_id: str, call: JsonObject) -> Iterator[Event]:
        self._open.pop(call_id, None)
        if not self.note_announced(call_id):
            return
        tool, server = self._named(sound(str(call.get("name") or "")))
        yield ToolCall(sound(call_id), server, tool, _arguments(call.get("args")))

    def _named(self, name: str) -> tuple[str, str | None]:
        """The tool and its server; by our names if the server is one of ours."""
        tool, server = split_name(name)
        known = self._servers.get(server)
        return (known.tools.get(tool, tool), known.slug) if known else (tool, server or None)

    def _result(self, call_id: str, call: JsonObject) -> ToolResult:
        self._answered.add(call_id)
        output = call.get("output")
        text = sound(output if isinstance(output, str) else "" if output is None else json.dumps(output))
        begun = self._begun.get(call_id)
        milliseconds = None if begun is None else int((self._clock() - begun) * 1000)
        return ToolResult(sound(call_id), text, text.startswith(ERRORS), milliseconds)


def _arguments(value: Any) -> Any:
    """Arguments as data that can be stored; those that cannot be parsed stay text."""
    return arguments_of(sound(value)) if isinstance(value, str) else storable(value or {})


def _longer(known: Any, fresh: Any) -> Any:
    """Arguments that are data are complete; of two texts the longer is the later one."""
    if isinstance(known, str) and isinstance(fresh, str):
        return max(known, fresh, key=len)
    return known if isinstance(fresh, str) else fresh


def _at(known: list[str], index: Any) -> str | None:
    """The call at an index within its step, else the step's last."""
    if type(index) is int and 0 <= index < len(known):
        return known[index]
    return known[-1] if known else None
