"""A call whose answer arrives whole, run as a turn: admitted, reserved and closed like any other."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.db import IntegrityError, transaction

from accounts.principals import Principal
from gateway.calls.bounds import Bounds
from gateway.calls.metered_answer import metered_answer
from gateway.calls.prompt_estimate import PromptEstimate
from gateway.engines.base import Engine, TurnJob
from gateway.engines.events import EngineEvent
from gateway.errors import TurnInProgress
from gateway.models import Turn
from gateway.providers.base import Finish, ModelRequest
from gateway.turns.admission import job_of, record_refusal, reserve_turn
from gateway.turns.decision import Decision, decide
from gateway.turns.kept_answer import STILL_RUNNING, RequestKey
from kit.errors import DomainError
from kit.tenancy import in_public, in_tenant
from quotas.limits import Limit
from workspaces.language_models.queries import ModelRef, installed_models


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call to a model that may be used: its bounds, and how the provider is asked."""

    bounds: Bounds
    estimate: PromptEstimate | None
    ask: Callable[[], Awaitable[Any]]  # an Answer


class WholeRequest(Protocol):
    """A client's request for such a call."""

    @property
    def model(self) -> str: ...

    async def prepare(self, model: ModelRef) -> PreparedCall:
        """InvalidInput for what this model does not take, ProviderError for an unusable credential."""


class WholeCall(Engine):
    """Runs one call; its answer is in `answer` once the turn has ended without an error."""

    name = "none"

    def __init__(self, call: PreparedCall) -> None:
        self._call = call
        self.answer: Any = None

    async def run(self, job: TurnJob) -> AsyncGenerator[EngineEvent, None]:
        self.answer = await metered_answer(
            tenant=job.tenant,
            turn_id=job.turn_id,
            model=job.model,
            bounds=self._call.bounds,
            estimate=self._call.estimate,
            ask=self._call.ask,
        )
        yield Finish("stop")


@dataclass(frozen=True, slots=True)
class AdmittedCall:
    """A turn whose reservation is open, how it is run, and the limits that it met."""

    job: TurnJob
    engine: WholeCall
    limits: Sequence[Limit]


async def admit_call(
    principal: Principal, kind: Turn.Kind, request: WholeRequest, key: RequestKey | None = None
) -> AdmittedCall:
    """`kind` is the turn's and the model's. Raises the refusal, which is audited, and TurnInProgress."""
    installed = await in_tenant(principal.tenant, installed_models, workspace_id=principal.workspace.id)
    decision = decide(principal=principal, model_slug=request.model, installed=installed, kind=kind.value)
    try:
        model = decision.admitted_model()
        call = await request.prepare(model)
        turn, limits = await in_tenant(
            principal.tenant,
            _write_turn,
            principal=principal,
            kind=kind,
            decision=decision,
            model=model,
            bounds=call.bounds,
            key=key,
        )
    except IntegrityError as exc:
        if key is None:
            raise
        raise TurnInProgress(STILL_RUNNING) from exc  # a request with the same key was faster
    except DomainError as refusal:
        await in_public(record_refusal, principal=principal, refusal=refusal, model=request.model)
        raise
    # The engine has its own request; there are no messages, and vectors of another model would not do.
    nothing = ModelRequest(model=model.upstream_name, messages=[], max_tokens=0)
    job = job_of(turn, principal=principal, models=(model,), request=nothing, bounds=call.bounds)
    return AdmittedCall(job, WholeCall(call), limits)


@transaction.atomic
def _write_turn(
    *,
    principal: Principal,
    kind: Turn.Kind,
    decision: Decision,
    model: ModelRef,
    bounds: Bounds,
    key: RequestKey | None,
) -> tuple[Turn, list[Limit]]:
    turn = Turn.objects.create(
        workspace_id=principal.workspace.id,
        user_id=principal.user_id,
        kind=kind,
        model=model.slug,
        model_id=model.id,
        engine=WholeCall.name,
        decision=decision.as_dict(),
        idempotency_key=key.key if key else None,
        body_hash=key.body_hash if key else "",
    )
    return turn, reserve_turn(turn, principal=principal, model=model, bounds=bounds)
