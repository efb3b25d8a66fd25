"""Starts and stops turns, for every caller: consumers, the socket, and worker processes without either.

A turn runs in the event loop that started it. A process that starts turns ends with `background.stop()`,
which lets them finish or leaves them to another process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from accounts.principals import Principal
from gateway.models import Turn
from gateway.turns.admission import Admitted, admit_turn
from gateway.turns.background import ensure_started
from gateway.turns.completion import OneCall, admit_completion
from gateway.turns.completion_request import CompletionRequest
from gateway.turns.requests import SendRequest
from gateway.turns.runner import runner
from gateway.turns.running_turn import RunningTurn
from gateway.turns.stop import request_stop
from gateway.turns.whole_call import WholeCall, WholeRequest, admit_call
from kit.tenancy import in_tenant
from quotas.limits import Limit


@dataclass(frozen=True, slots=True)
class StartedCompletion:
    """A running completion, and the limits that it met."""

    turn: RunningTurn
    limits: Sequence[Limit]


@dataclass(frozen=True, slots=True)
class StartedCall:
    """A running call whose answer comes as a whole, and the limits that it met."""

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


async def start_completion(principal: Principal, completion: CompletionRequest) -> StartedCompletion:
    """Admits a completion and runs it in this process. Raises as `start_turn` does."""
    ensure_started()
    with runner().slot(principal.tenant):
        job, limits = await admit_completion(principal, completion)
        return StartedCompletion(runner().start(job, OneCall()), limits)


async def start_call(principal: Principal, kind: Turn.Kind, request: WholeRequest) -> StartedCall:
    """Admits a call such as for embeddings and runs it in this process. Raises as `start_turn` does."""
    ensure_started()
    with runner().slot(principal.tenant):
        admitted = await admit_call(principal, kind, request)
        return StartedCall(runner().start(admitted.job, admitted.engine), admitted.engine, admitted.limits)
