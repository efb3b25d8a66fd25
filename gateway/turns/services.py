"""Starts and stops turns, for every caller: consumers, the socket, and worker processes without either.

A turn runs in the event loop that started it. A process that starts turns ends with `background.stop()`,
which lets them finish or leaves them to another process.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from uuid import UUID

from accounts.principals import Principal
from gateway.models import Turn
from gateway.turns.admission import Admitted, admit_turn
from gateway.turns.background import ensure_started
from gateway.turns.completion import OneCall, admit_completion
from gateway.turns.completion_request import CompletionRequest
from gateway.turns.event_stream import follow_turn
from gateway.turns.events import NumberedEvent
from gateway.turns.kept_answer import RequestKey
from gateway.turns.requests import SendRequest
from gateway.turns.runner import runner
from gateway.turns.running_turn import RunningTurn, StopCause
from gateway.turns.stop import request_stop
from gateway.turns.whole_call import WholeCall, WholeRequest, admit_call
from kit.tenancy import in_tenant
from quotas.limits import Limit


@dataclass(frozen=True, slots=True)
class StartedCompletion:
    """A completion, and the limits that it met; `running` is None for an earlier one with the same key."""

    turn_id: UUID
    principal: Principal
    running: RunningTurn | None
    limits: Sequence[Limit] = ()

    def follow(self) -> AsyncGenerator[list[NumberedEvent], None]:
        """Batches of its events, from the first to the last."""
        return self.running.follow(0) if self.running else follow_turn(self.principal, self.turn_id)

    def cancel(self) -> None:
        """Ends the call if it is still running."""
        if self.running is not None:
            self.running.stop(StopCause.CANCELLED)


@dataclass(frozen=True, slots=True)
class StartedCall:
    """A running call whose answer arrives whole, and the limits checked for it."""

    turn: RunningTurn
    engine: WholeCall
    limits: Sequence[Limit]


async def start_turn(principal: Principal, send_request: SendRequest) -> Admitted:
    """Admits a turn and runs it in this process; a repeated Idempotency-Key gives the earlier turn.

    Raises the refusal, AtCapacity or ShuttingDown. Follow the turn with `event_stream.follow_turn`.
    """
    ensure_started()
    with runner().slot(principal.tenant):
        admitted = await admit_turn(principal, send_request)
        if admitted.job is not None:
            runner().start(admitted.job)
    return admitted


async def stop_turn(principal: Principal, turn_id: UUID) -> str:
    """Stops a turn in whichever process runs it; returns its status. NotFound, Forbidden."""
    status = await in_tenant(principal.tenant, request_stop, principal=principal, turn_id=turn_id)
    runner().stop(turn_id)
    return status


async def start_completion(
    principal: Principal, completion: CompletionRequest, *, idempotency_key: str | None = None
) -> StartedCompletion:
    """Admits a completion and runs it in this process; a repeated key gives the earlier one.

    Raises as `start_turn` does.
    """
    ensure_started()
    with runner().slot(principal.tenant):
        admitted = await admit_completion(principal, completion, idempotency_key=idempotency_key)
        running = runner().start(admitted.job, OneCall()) if admitted.job else None
        return StartedCompletion(admitted.turn_id, principal, running, admitted.limits)


async def start_call(
    principal: Principal, kind: Turn.Kind, request: WholeRequest, key: RequestKey | None = None
) -> StartedCall:
    """Admits a call such as for embeddings and runs it in this process. Raises as `start_turn` does."""
    ensure_started()
    with runner().slot(principal.tenant):
        admitted = await admit_call(principal, kind, request, key)
        return StartedCall(runner().start(admitted.job, admitted.engine), admitted.engine, admitted.limits)
