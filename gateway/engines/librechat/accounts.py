"""Signs our engine accounts in at LibreChat: registers them on first use, stores and renews their tokens."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from accounts.engine_accounts import EngineAccountRef, find_account, note_registered, operator_account
from gateway.engines.librechat.client import LibreChatClient, Session, TokenRefused
from gateway.errors import EngineFailed
from kit.secrets import unseal
from kit.tenancy import in_public

T = TypeVar("T")
ENGINE = "librechat"
TOKEN_SECONDS = 600.0  # of a token's lifetime of 15 minutes
NAMES = {True: "Switchyard operator", False: "Switchyard member"}  # LibreChat never gets a person's name


class Accounts:
    """The signed-in accounts of one event loop."""

    def __init__(self, client: LibreChatClient) -> None:
        self.client = client
        self._sessions: dict[UUID, tuple[Session, float]] = {}
        self._locks: dict[UUID, asyncio.Lock] = {}

    async def call(self, account_id: UUID, work: Callable[[str], Awaitable[T]]) -> T:
        """Runs `work` with the account's token, and again with a new one if LibreChat refuses it."""
        session = await self.session(account_id)
        try:
            return await work(session.token)
        except TokenRefused:
            session = await self.session(account_id, refused=session)
        try:
            return await work(session.token)
        except TokenRefused as exc:
            raise EngineFailed("LibreChat refuses a token that it has just issued.") from exc

    async def session(self, account_id: UUID, refused: Session | None = None) -> Session:
        """The account's session; a new one if there is none, it is old, or it is the `refused` one."""
        async with self._locks.setdefault(account_id, asyncio.Lock()):
            known, since = self._sessions.get(account_id, (None, 0.0))
            if known is not None and known is not refused and time.monotonic() - since < TOKEN_SECONDS:
                return known
            fresh = await self._renewed(known) if known is not None else None
            fresh = fresh or await self._signed_in(account_id)
            self._sessions[account_id] = (fresh, time.monotonic())
            return fresh

    async def operator(self) -> Session:
        """The session of the installation's own account, which is registered before any member's."""
        account = await in_public(operator_account, engine=ENGINE)
        return await self.session(account.id)

    async def _renewed(self, session: Session) -> Session | None:
        try:
            return await self.client.refresh(session)
        except TokenRefused:
            return None

    async def _signed_in(self, account_id: UUID) -> Session:
        account = await in_public(find_account, account_id)
        if account is None:
            raise EngineFailed("The engine account of this conversation no longer exists.")
        password = unseal(account.sealed_password)
        try:
            session = await self.client.login(address=account.address, password=password)
        except TokenRefused:
            session = await self._registered(account, password)
        if session.user_id != account.engine_user_id:
            await in_public(note_registered, account_id=account.id, engine_user_id=session.user_id)
        return session

    async def _registered(self, account: EngineAccountRef, password: str) -> Session:
        """LibreChat's first account becomes its admin, so the operator's is registered first."""
        operator = await in_public(operator_account, engine=ENGINE)
        is_operator = account.id == operator.id
        if not is_operator:
            # This LibreChat may be empty. A renewal shows that it knows the operator, without the cost of
            # hashing a password. Concurrent registrations share one renewal.
            known, _ = self._sessions.get(operator.id, (None, 0.0))
            await self.session(operator.id, refused=known)
        await self.client.register(name=NAMES[is_operator], address=account.address, password=password)
        try:
            return await self.client.login(address=account.address, password=password)
        except TokenRefused as exc:
            raise EngineFailed(
                "LibreChat refuses the sign-in of an account that it has just registered."
            ) from exc
