"""The running generations: frames for late readers, the state for resuming readers, and their end."""

import asyncio
import copy
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from gateway.tests.replayed_librechat.answers import PROTOCOL, Json, frame
from gateway.tests.replayed_librechat.content import Content

REPLACED = "Generation state changed; reconnect to load the saved response."


class Lost(Exception):
    """The connection ends during the stream."""


@dataclass
class Generation:
    """A reply that is being generated; several readers may follow it, each from where it joined."""

    stream_id: str
    user_id: str
    request_id: str | None  # the start's clientRequestId
    response_id: str
    model: str
    created_at: int
    user_message: Json = field(default_factory=dict)
    content: Content = field(default_factory=Content)
    frames: list[str] = field(default_factory=list)
    run_steps: list[Json] = field(default_factory=list)
    context_usage: Json | None = None
    created: bool = False
    ended: bool = False
    failed: bool = False  # it never began; its first reader gets the error
    lost: bool = False
    cut: bool = False  # a test's break_stream_after has had its effect
    replica: int = 0  # the port at which it was started
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._news = asyncio.Event()

    def emit(self, data: Json, event: str = "message") -> None:
        """Emits nothing after the end: a replaced turn continues silently."""
        if not self.ended:
            self.frames.append(frame(event, data))
            self._wake()

    def event(self, name: str, data: Json) -> None:
        self.emit({"event": name, "data": data})

    def end(self, data: Json, event: str = "message") -> None:
        self.emit(data | PROTOCOL, event)
        self.ended = True
        self._wake()

    def lose(self) -> None:
        self.lost = self.ended = True
        self._wake()

    async def read(self, resume: bool) -> AsyncGenerator[str, None]:
        """All frames from the first, or a sync frame and what follows it: at least the last one."""
        position = 0
        if resume and not self.failed:
            position = len(self.frames) - self.ended
            yield frame("message", {"sync": True, "resumeState": self.resume_state(), "pendingEvents": []})
        while True:
            news = self._news
            while position < len(self.frames):
                position += 1
                yield self.frames[position - 1]
            if self.lost:
                raise Lost
            if self.ended:
                return
            await news.wait()

    def status(self) -> Json:
        state = self.resume_state()
        return {
            "active": not self.ended,
            **PROTOCOL,
            "streamId": self.stream_id,
            "status": "error" if self.failed else "running",
            "aggregatedContent": state["aggregatedContent"],
            "createdAt": self.created_at,
            "resumeState": state,
        }

    def resume_state(self) -> Json:
        shown = ("messageId", "parentMessageId", "conversationId", "text")
        state = {
            "runSteps": self.run_steps,
            "aggregatedContent": self.content.parts,
            "userMessage": {key: self.user_message[key] for key in shown if key in self.user_message},
            "responseMessageId": self.response_id,
            "conversationId": self.stream_id,
            "sender": "AI",
            "model": self.model,
        }
        gauge = {"contextUsage": self.context_usage} if self.context_usage else {}
        return copy.deepcopy(state | gauge)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Generations:
    """The known generations by conversation; one that has ended is removed immediately."""

    def __init__(self) -> None:
        self.by_stream: dict[str, Generation] = {}
        self.last_created_at = 0

    def get(self, stream_id: str) -> Generation | None:
        return self.by_stream.get(stream_id)

    def add(self, generation: Generation) -> None:
        self.by_stream[generation.stream_id] = generation

    def next_created_at(self) -> int:
        """Milliseconds, never the same twice."""
        self.last_created_at = max(time.time_ns() // 1_000_000, self.last_created_at + 1)
        return self.last_created_at

    def replace(self, generation: Generation) -> None:
        """Its readers get an error, its reply is not stored, its model call continues."""
        generation.end({"error": REPLACED}, "error")
        self.forget(generation)

    def forget(self, generation: Generation) -> None:
        if self.by_stream.get(generation.stream_id) is generation:
            del self.by_stream[generation.stream_id]

    def active(self, user_id: str) -> list[str]:
        mine = [item for item in self.by_stream.values() if item.user_id == user_id and not item.ended]
        return [item.stream_id for item in mine]
