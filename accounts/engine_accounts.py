"""Finds and creates the rows of engine accounts; only the engines talk to their upstream."""

import secrets
from dataclasses import dataclass, field
from uuid import UUID

from accounts.models import EngineAccount
from kit.secrets import seal

PASSWORD_BYTES = 32


@dataclass(frozen=True, slots=True)
class EngineAccountRef:
    """An engine account as plain data; the password stays sealed until it is used to sign in."""

    id: UUID
    address: str
    sealed_password: str = field(repr=False)
    engine_user_id: str


def member_account(*, engine: str, tenant_id: UUID, user_id: UUID) -> EngineAccountRef:
    """The member's account at the engine; concurrent first uses create one row."""
    return _ref(_find_or_create(engine=engine, tenant_id=tenant_id, user_id=user_id))


def operator_account(*, engine: str) -> EngineAccountRef:
    """The installation's own account at the engine, which is the engine's admin."""
    return _ref(_find_or_create(engine=engine, tenant_id=None, user_id=None))


def find_account(account_id: UUID) -> EngineAccountRef | None:
    row = EngineAccount.objects.filter(id=account_id).first()
    return _ref(row) if row else None


def engine_of(account_id: UUID) -> str:
    """The engine that the account belongs to; empty if it no longer exists."""
    return EngineAccount.objects.filter(id=account_id).values_list("engine", flat=True).first() or ""


def note_registered(*, account_id: UUID, engine_user_id: str) -> None:
    """Stores the engine's id of the account: it is registered there now."""
    EngineAccount.objects.filter(id=account_id).update(engine_user_id=engine_user_id)


def _find_or_create(*, engine: str, tenant_id: UUID | None, user_id: UUID | None) -> EngineAccount:
    known = EngineAccount.objects.filter(engine=engine, tenant=tenant_id, user=user_id)
    row = known.first()
    if row is not None:
        return row
    fresh = EngineAccount(
        engine=engine,
        tenant_id=tenant_id,
        user_id=user_id,
        sealed_password=seal(secrets.token_urlsafe(PASSWORD_BYTES)),
    )
    EngineAccount.objects.bulk_create([fresh], ignore_conflicts=True)
    return known.get()


def _ref(row: EngineAccount) -> EngineAccountRef:
    return EngineAccountRef(
        id=row.id,
        address=row.address,
        sealed_password=row.sealed_password,
        engine_user_id=row.engine_user_id,
    )
