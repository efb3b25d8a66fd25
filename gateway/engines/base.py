"""What an engine is: it runs one turn and tells what happens, one event after another.

A third engine is one file beside these: a class with the methods of `Engine`, named in `registry.py`.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from gateway.calls.bounds import Bounds
from gateway.calls.tool_names import OfferedTool, offer_tools
from gateway.engines.check_steps import Step
from gateway.providers.base import JsonObject, ModelRequest
from kit.tenancy import TenantRef
from workspaces.language_models.queries import ModelRef
from workspaces.mcp_servers.queries import ServerRef

HISTORY_RESTORED = "history_restored"  # the kind of a notice: earlier messages came from our own copy


@dataclass(frozen=True, slots=True)
class Question:
    """The message that a turn answers, with the id it has at the engine."""

    id: UUID
    text: str = field(repr=False)
    is_asked_again: bool = False  # the turn regenerates a reply: the engine has the message already


@dataclass(frozen=True, slots=True)
class TurnJob:
    """A turn that was admitted, with all that an engine needs to run it; plain data."""

    turn_id: UUID
    conversation_id: UUID | None
    tenant: TenantRef
    workspace_id: UUID
    user_id: UUID
    engine: str
    model: ModelRef
    request: ModelRequest  # the first call, history trimmed to the model's window
    bounds: Bounds
    fallbacks: tuple[ModelRef, ...] = ()  # the models that stand in for `model`, in order
    keeps_reply: bool = True  # False: nothing of the reply is stored, only what it cost
    question: Question | None = None  # None: a completion, which no engine runs
    ancestors: tuple[UUID, ...] = ()  # the turns before this one on its branch, the latest first; bounded
    engine_account_id: UUID | None = None  # of the conversation; None where the engine has no accounts
    servers: tuple[ServerRef, ...] = ()  # the MCP servers whose tools the model may call
    told: tuple[JsonObject, ...] = ()  # the stored parts of a reply that another process began
    is_adopted: bool = False  # another process began it, and may have told `told`

    @property
    def models(self) -> tuple[ModelRef, ...]:
        return (self.model, *self.fallbacks)

    @property
    def tools(self) -> tuple[OfferedTool, ...]:
        return offer_tools(self.servers)


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation as an engine knows it."""

    conversation_id: UUID
    engine_account_id: UUID | None


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
    """Runs turns. An error is raised as a DomainError; closing the iterator ends our part in the turn."""

    name: str
    has_accounts: bool  # it keeps conversations, in an account for each tenant and person
    runs_tools: bool  # of MCP servers
    outlives_us: bool  # its turns go on when our process dies, and `run` takes an adopted one up again

    def run(self, job: TurnJob) -> AsyncGenerator[Event | Finished, None]:
        """Ends after exactly one Finished."""

    async def stop(self, job: TurnJob) -> None:
        """Ends the turn at the engine as well; never raises, since the turn is stopped for us already."""

    async def messages(self, thread: Thread) -> dict[UUID, str] | None:
        """The texts of a conversation by message id; None where the engine keeps none or is away."""

    async def rename(self, thread: Thread, title: str) -> None:
        """EngineUnavailable when it could not be done now."""

    async def delete(self, thread: Thread) -> None:
        """Harmless for a conversation that is gone. EngineUnavailable when it could not be done now."""

    async def forget_server(self, engine_account_id: UUID, name: str) -> None:
        """Removes an MCP server that it knows by this name. EngineUnavailable when it cannot be done now."""

    async def health(self) -> None:
        """Returns when turns can run; raises a DomainError that says why they cannot."""

    def check(self) -> AsyncGenerator[Step, None]:
        """Tries everything that turns rely on, at nobody's expense; ends after a step that failed."""
