"""The engine protocol: an engine runs one turn and yields its events.

A third engine is one module in this folder: a subclass of `Engine`, listed in `registry.py`. What only some
engines do is an optional protocol of its own (`ConversationStore`, `ServerRegistry`, `HealthProbe`,
`SelfCheck`); callers ask the registry for it and get None where the engine lacks it.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable
from uuid import UUID

from gateway.calls.bounds import Bounds
from gateway.calls.tool_names import OfferedTool, offer_tools
from gateway.engines.check_steps import Step
from gateway.engines.events import EngineEvent, Event
from gateway.providers.base import ModelRequest
from kit.tenancy import TenantRef
from workspaces.language_models.queries import ModelRef
from workspaces.mcp_servers.queries import ServerRef


@dataclass(frozen=True, slots=True)
class Question:
    """The message that a turn answers, with its id at the engine."""

    id: UUID
    text: str = field(repr=False)
    is_asked_again: bool = False  # the turn regenerates a reply: the engine already has the message


@dataclass(frozen=True, slots=True)
class TurnJob:
    """Everything that an engine needs to run an admitted turn, as plain data."""

    turn_id: UUID
    conversation_id: UUID | None
    tenant: TenantRef
    workspace_id: UUID
    user_id: UUID
    engine: str
    model: ModelRef
    request: ModelRequest  # the first call, its history trimmed to the model's window
    bounds: Bounds
    fallbacks: tuple[ModelRef, ...] = ()  # in order
    stores_reply: bool = True  # False: only the cost is stored
    question: Question | None = None  # None for a completion
    ancestors: tuple[UUID, ...] = ()  # the turns before this one on its branch, latest first; bounded
    engine_account_id: UUID | None = None  # the conversation's; None for an engine without accounts
    servers: tuple[ServerRef, ...] = ()  # the MCP servers whose tools the model may call
    reply_so_far: tuple[Event, ...] = ()  # stored by the process that ran the turn before
    is_takeover: bool = False  # another process began the turn, and clients may have seen `reply_so_far`

    @property
    def models(self) -> tuple[ModelRef, ...]:
        return (self.model, *self.fallbacks)

    @property
    def tools(self) -> tuple[OfferedTool, ...]:
        return offer_tools(self.servers)


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation as an engine identifies it."""

    conversation_id: UUID
    engine_account_id: UUID | None


class Engine(ABC):
    """Runs turns. Raises errors as DomainError. Closing the iterator of `run` ends our part in the turn."""

    name: ClassVar[str]
    runs_tools: ClassVar[bool] = False  # of MCP servers
    outlives_process: ClassVar[bool] = False  # its turns continue without us, and `run` can take them over

    @abstractmethod
    def run(self, job: TurnJob) -> AsyncGenerator[EngineEvent, None]:
        """Ends after exactly one Finish."""

    async def stop(self, job: TurnJob) -> None:  # noqa: B027 - optional
        """Ends the turn at the engine too, if closing `run` does not. Never raises: for us it has ended."""


@runtime_checkable
class ConversationStore(Protocol):
    """An engine with its own copy of conversations, in an account for each tenant and person."""

    async def messages(self, thread: Thread) -> dict[UUID, str] | None:
        """The texts of a conversation by message id; None while the engine is unavailable."""

    async def rename(self, thread: Thread, title: str) -> None:
        """EngineUnavailable if it cannot be done now."""

    async def delete(self, thread: Thread) -> None:
        """Harmless if the conversation is gone. EngineUnavailable if it cannot be done now."""


@runtime_checkable
class ServerRegistry(Protocol):
    """An engine at which MCP servers are registered."""

    async def forget_server(self, engine_account_id: UUID, name: str) -> None:
        """Removes the server with this name at the engine. EngineUnavailable if it cannot be done now."""


@runtime_checkable
class HealthProbe(Protocol):
    """An engine that is a program of its own, and may be down."""

    async def health(self) -> None:
        """Returns if turns can run; raises a DomainError that says why they cannot."""


@runtime_checkable
class SelfCheck(Protocol):
    """An engine that can try everything that turns rely on."""

    def check(self) -> AsyncGenerator[Step, None]:
        """Ends after a step that failed. Costs no tenant anything."""


@runtime_checkable
class SettingsCheck(Protocol):
    """An engine that needs settings of its own."""

    def settings_problems(self) -> list["SettingsProblem"]:
        """Pure: reads the settings only."""


@dataclass(frozen=True, slots=True)
class SettingsProblem:
    """A wrong or missing setting; `id` is that of the Django system check."""

    text: str
    id: str
