"""Tests models and credentials before they are saved: reachable, the key works, the model answers.

Only the gateway, which this package may not import, knows how to ask a provider: it registers a Prober.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from asgiref.sync import async_to_sync
from django.db import transaction

from accounts.principals import Principal
from kit.tenancy import connection_released
from workspaces.language_models.queries import ModelRef

T = TypeVar("T")


class Prober(Protocol):
    """Raises InvalidInput at the wrong field (base_url, key, upstream_name), ProviderError if the provider
    fails, and QuotaExceeded if the budget does not cover the call."""

    async def reach(self, model: ModelRef) -> None:
        """Checks that the provider is there and accepts the key; free, since no model is asked."""

    async def ask(self, principal: Principal, model: ModelRef) -> None:
        """Also checks that the model answers: one short call, metered like any other."""


_registered: list[Prober] = []


def register_prober(prober: Prober) -> None:
    """Called once as apps load; a later one replaces it."""
    _registered[:] = [prober]


def registered_prober() -> Prober:
    return _registered[0]


def probe(principal: Principal, model: ModelRef) -> None:
    """Asks the model if it has a name at its provider, else only the provider."""
    prober = registered_prober()
    with connection_released():
        if model.upstream_name:
            async_to_sync(prober.ask)(principal, model)
        else:
            async_to_sync(prober.reach)(model)


def save_tested(
    *, is_tested: bool, principal: Principal, save: Callable[[], T], ref: Callable[[T], ModelRef]
) -> T:
    """Saves; if tested, only once the provider has accepted it.

    For a test, `save` first runs in a transaction that is rolled back, which applies all its checks; then the
    provider is asked about `ref` of the result, outside any transaction.
    """
    if is_tested:
        probe(principal, _rehearse(lambda: ref(save())))
    return save()


def _rehearse(work: Callable[[], T]) -> T:
    with transaction.atomic():
        result = work()
        transaction.set_rollback(True)
    return result
