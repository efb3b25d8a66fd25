"""The model calls that run in this process, to be ended if the turn is stopped or a call repeated."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from gateway.calls.channels import CALL_REPEATED, TURN_STOP
from gateway.calls.tool_news import TOOL_NEWS, wake_listeners
from kit.per_loop import PerLoop
from kit.pg_notify import listen


@dataclass(slots=True)
class RunningCall:
    """One attempt at a turn's model call, with the request's fingerprint and the task that answers it."""

    turn_id: UUID
    fingerprint: str
    attempt: UUID
    task: asyncio.Task[Any]
    was_ended: bool = False

    def end(self) -> None:
        """Cancels the call upstream, which settles it."""
        if not self.was_ended:
            self.was_ended = True
            self.task.cancel()


class RunningCalls:
    """The calls of one event loop."""

    def __init__(self) -> None:
        self._by_attempt: dict[UUID, RunningCall] = {}

    @contextmanager
    def running(self, turn_id: UUID, fingerprint: str) -> Iterator[RunningCall]:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A call runs in a task.")
        call = RunningCall(turn_id, fingerprint, uuid4(), task)
        self._by_attempt[call.attempt] = call
        try:
            yield call
        finally:
            self._by_attempt.pop(call.attempt, None)

    def end_turn(self, turn_id: UUID) -> None:
        for call in list(self._by_attempt.values()):
            if call.turn_id == turn_id:
                call.end()

    def end_all(self) -> None:
        """Called when the process stops."""
        for call in list(self._by_attempt.values()):
            call.end()

    def end_older(self, turn_id: UUID, fingerprint: str, attempt: UUID) -> None:
        """Ends attempts at the same call that began before this one: all, if it runs in another process."""
        for call in list(self._by_attempt.values()):  # in the order in which they began
            if call.attempt == attempt:
                return
            if (call.turn_id, call.fingerprint) == (turn_id, fingerprint):
                call.end()

    async def listen(self) -> None:
        """Handles other processes' notifications for as long as this process lives."""
        await listen(
            {
                TURN_STOP: lambda text: self.end_turn(UUID(text)),
                TOOL_NEWS: wake_listeners,
                CALL_REPEATED: self._repeated,
            }
        )

    def _repeated(self, payload: str) -> None:
        turn_id, fingerprint, attempt = payload.split(" ")
        self.end_older(UUID(turn_id), fingerprint, UUID(attempt))


_known = PerLoop(RunningCalls)


def running_calls() -> RunningCalls:
    """The instance of the running event loop."""
    return _known.get()
