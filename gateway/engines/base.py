"""What an engine is: it runs one turn and tells what happens, one event after another."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from gateway.egress.metered import Bounds
from gateway.providers.base import ModelRequest
from kit.tenancy import TenantRef
from workspaces.language_models.services import ModelRef


@dataclass(frozen=True, slots=True)
class TurnJob:
    """A turn that was admitted, with all that an engine needs to run it; plain data."""

    turn_id: UUID
    conversation_id: UUID | None
    tenant: TenantRef
    workspace_id: UUID
    user_id: UUID
    model: ModelRef
    request: ModelRequest  # the first call, history trimmed to the model's window
    bounds: Bounds
    keeps_reply: bool = True  # False: nothing of the reply is stored, only what it cost


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a turn emits; types and data as the API documents them."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """The engine's last word: a finish reason."""

    reason: str


class Engine(Protocol):
    """Runs turns. An error is raised as a DomainError; closing the iterator cancels the turn."""

    name: str

    def run(self, job: TurnJob) -> AsyncGenerator[Event | Finished, None]:
        """Ends after exactly one Finished."""

    async def health(self) -> None:
        """Returns when turns can run; raises a DomainError that says why they cannot."""
