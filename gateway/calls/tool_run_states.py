"""The states of a tool run, and every change between them.

    (opened) ─┬─► denied                    the tool, its arguments or a rule forbid the call
              ├─► asked ────┬──────────┬──► done | failed    the tool was called
              └─► waiting   │          ├──► denied           a right or rule changed before the call
                    ├─► allowed ───────┤
                    │       │          └──► running ──► done | failed | denied
                    │       │                               claimed by an engine, which runs it
                    │       └──────────────► expired        never claimed: the model has gone on
                    ├─► refused             a person said no
                    └─► expired             no answer in time, or the call has ended

Each change is one conditional update, so that of two processes only one makes it. Nothing here notifies or
audits: the callers do, since they know for whom the tool is called.
"""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from gateway.models import ToolRun

State = ToolRun.State


def create_run(
    *,
    turn_id: UUID,
    call_id: str,
    server: str,
    server_id: UUID | None,
    tool: str,
    arguments: dict[str, object],
    arguments_hash: str,
    refusal: str,
    needs_approval: bool,
) -> ToolRun:
    """Denied if there is a `refusal`, else waiting for a person or allowed to run."""
    is_waiting = needs_approval and not refusal
    return ToolRun.objects.create(
        turn_id=turn_id,
        call_id=call_id,
        server=server,
        server_id=server_id,
        tool=tool,
        arguments=arguments,
        arguments_hash=arguments_hash,
        state=State.DENIED if refusal else State.WAITING if is_waiting else State.ASKED,
        expires_at=timezone.now() + timedelta(seconds=settings.APPROVAL_SECONDS) if is_waiting else None,
        refusal=refusal,
    )


def answer_run(*, turn_id: UUID, run_id: UUID, state: str, user_id: UUID) -> bool:
    """Waiting → allowed or refused, by a person; False if the run no longer waits."""
    answerable = ToolRun.objects.answerable().filter(id=run_id, turn=turn_id)
    return bool(answerable.update(state=state, decided_by=user_id, decided_at=timezone.now()))


def claim_run(run: ToolRun) -> bool:
    """Asked or allowed → running, for an engine; False if it was claimed or expired meanwhile."""
    return _change(run, State.RUNNING)


def expire_run(run: ToolRun, *, refusal: str = "") -> bool:
    """Waiting, asked or allowed → expired; False if its state has changed meanwhile."""
    return _change(run, State.EXPIRED, refusal=refusal)


def deny_run(run_id: UUID, refusal: str) -> None:
    """Asked, allowed or running → denied: something changed since the run was opened."""
    ToolRun.objects.filter(id=run_id).update(state=State.DENIED, refusal=refusal)


def finish_run(run_id: UUID, *, is_error: bool, duration_ms: int) -> State:
    """Asked, allowed or running → done or failed."""
    state = State.FAILED if is_error else State.DONE
    ToolRun.objects.filter(id=run_id).update(state=state, duration_ms=duration_ms)
    return state


def _change(run: ToolRun, state: State, **columns: str) -> bool:
    """From the state that the row was read in, so that it happens once."""
    return bool(ToolRun.objects.filter(id=run.id, state=run.state).update(state=state, **columns))
