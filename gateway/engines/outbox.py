"""Jobs that repeat a rename or deletion at the engine; retried while it is unavailable."""

from uuid import UUID

from django.db import InterfaceError, OperationalError
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from accounts.teams.tenants import find_tenant
from gateway.engines.base import Thread
from gateway.engines.registry import conversation_store
from gateway.errors import EngineUnavailable
from gateway.models import Conversation
from kit.tenancy import TenantRef, in_public, in_tenant

# For about a day: after 3 s, 9 s, 27 s … then every few hours.
PERSISTENT = RetryStrategy(
    max_attempts=10,
    exponential_wait=3,
    retry_exceptions=[EngineUnavailable, OperationalError, InterfaceError],
)


def defer_rename(tenant: TenantRef, conversation: Conversation) -> None:
    """Defers the job in the caller's transaction; the title is read when it runs."""
    if conversation_store(conversation.engine):
        rename_at_engine.defer(tenant_id=str(tenant.id), conversation_id=str(conversation.id))


def defer_deletion(conversation: Conversation) -> None:
    """Defers the job in the caller's transaction."""
    if conversation_store(conversation.engine) and conversation.engine_account_id:
        delete_at_engine.defer(
            engine=conversation.engine,
            conversation_id=str(conversation.id),
            engine_account_id=str(conversation.engine_account_id),
        )


@app.task(name="gateway.rename_at_engine", retry=PERSISTENT)
async def rename_at_engine(tenant_id: str, conversation_id: str) -> None:
    tenant = await in_public(find_tenant, UUID(tenant_id))
    conversation = await in_tenant(tenant, _conversation, UUID(conversation_id)) if tenant else None
    store = conversation_store(conversation.engine) if conversation else None
    if conversation is not None and store is not None:
        await store.rename(_thread(conversation), conversation.title)


@app.task(name="gateway.delete_at_engine", retry=PERSISTENT)
async def delete_at_engine(engine: str, conversation_id: str, engine_account_id: str) -> None:
    thread = Thread(conversation_id=UUID(conversation_id), engine_account_id=UUID(engine_account_id))
    if (store := conversation_store(engine)) is not None:
        await store.delete(thread)


def _conversation(conversation_id: UUID) -> Conversation | None:
    return Conversation.objects.filter(id=conversation_id).first()


def _thread(conversation: Conversation) -> Thread:
    return Thread(conversation_id=conversation.id, engine_account_id=conversation.engine_account_id)
