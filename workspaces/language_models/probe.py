"""Tries what somebody is about to save before it is saved: reachable, the key works, the model answers.

Only the gateway, which this package may not import, knows how to ask a provider: it registers a Prober.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from asgiref.sync import async_to_sync
from django.db import connection, transaction

from accounts.principals import Principal
from kit.tenancy import tenant_scope
from workspaces.language_models.queries import ModelRef

T = TypeVar("T")


class Prober(Protocol):
    """Raises InvalidInput at the field that is wrong (base_url, key, upstream_name), ProviderError for a
    provider that fails, QuotaExceeded where the budget does not cover the call."""

    async def reach(self, model: ModelRef) -> None:
        """Whether its provider is there and takes the key; costs nothing. The model itself is not asked."""

    async def ask(self, principal: Principal, model: ModelRef) -> None:
        """The same, and whether the model answers: one short call, metered like any other."""


_registered: list[Prober] = []


def register_prober(prober: Prober) -> None:
    """Called once as apps load; a later one replaces it."""
    _registered[:] = [prober]


def registered_prober() -> Prober:
    return _registered[0]


def rehearse(work: Callable[[], T]) -> T:
    """What the work would leave, with every check that saving makes; nothing of it is kept."""
    with transaction.atomic():
        result = work()
        transaction.set_rollback(True)
    return result


def probe(principal: Principal, model: ModelRef) -> None:
    """Asks without holding a connection to the database, a model by its name, else its provider alone."""
    connection.close()
    prober = registered_prober()
    if model.upstream_name:
        async_to_sync(prober.ask)(principal, model)
    else:
        async_to_sync(prober.reach)(model)


def save_probed(*, principal: Principal, save: Callable[[], T], ref: Callable[[T], ModelRef]) -> T:
    """Saves what was found to work. Outside of any transaction; enters the tenant's schema by itself."""
    with tenant_scope(principal.tenant):
        drafted = ref(rehearse(save))
    probe(principal, drafted)
    with tenant_scope(principal.tenant):
        return save()
