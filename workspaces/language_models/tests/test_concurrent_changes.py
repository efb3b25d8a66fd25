"""Concurrent changes of a workspace's credentials: none is lost, and none breaks another."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from accounts.principals import Principal
from accounts.tests.cast import Cast
from gateway.tests.wait import wait_until
from kit.errors import Conflict, NotFound
from kit.secrets import unseal
from kit.tenancy import tenant_scope
from workspaces.language_models.credential_services import (
    change_credential,
    create_credential,
    remove_credential,
)
from workspaces.language_models.inputs import CredentialChange, CredentialInput, ModelInput
from workspaces.language_models.services import add_model
from workspaces.models import LanguageModel, ProviderCredential

pytestmark = pytest.mark.django_db(transaction=True)
MODEL = ModelInput(slug="gpt", upstream_name="gpt-x", context_window=1000, output_bound=100)
Act = Callable[..., Any]


@pytest.fixture
def principal(cast: Cast) -> Principal:
    return cast.alice.principal


@pytest.fixture
def credential_id(principal: Principal) -> UUID:
    with tenant_scope(principal.tenant):
        return create_credential(
            principal=principal,
            credential=CredentialInput(name="Ours", kind="openai", key="sk-old", test=False),
        ).id


def is_waiting_or_done(ended: Future[Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(cursor.fetchone()[0]) or ended.done()


def overlap(principal: Principal, first: Act, second: Act) -> Any:
    """The result of `second`, which begins before `first` has ended."""

    def begin_second() -> Any:
        try:
            with tenant_scope(principal.tenant):
                return second(principal=principal)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with tenant_scope(principal.tenant), transaction.atomic():
            first(principal=principal)
            ended = thread.submit(begin_second)
            wait_until(lambda: is_waiting_or_done(ended))
        return ended.result(10)


def stored(principal: Principal) -> tuple[list[str], list[str]]:
    with tenant_scope(principal.tenant):
        models = LanguageModel.objects.exclude(provider="local").values_list("slug", flat=True)
        return [row.name for row in ProviderCredential.objects.all()], list(models)


def test_a_concurrent_rename_does_not_restore_the_old_key(principal: Principal, credential_id: UUID) -> None:
    overlap(
        principal,
        lambda **who: change_credential(
            credential_id=credential_id, change=CredentialChange(key="sk-new", test=False), **who
        ),
        lambda **who: change_credential(
            credential_id=credential_id, change=CredentialChange(name="Theirs"), **who
        ),
    )
    with tenant_scope(principal.tenant):
        row = ProviderCredential.objects.get()
    assert (row.name, unseal(row.sealed_key)) == ("Theirs", "sk-new")


def test_a_credential_that_is_getting_a_model_cannot_be_removed(
    principal: Principal, credential_id: UUID
) -> None:
    with pytest.raises(Conflict):
        overlap(
            principal,
            lambda **who: add_model(credential=credential_id, model=MODEL, **who),
            lambda **who: remove_credential(credential_id=credential_id, **who),
        )
    assert stored(principal) == (["Ours"], ["gpt"])


def test_a_credential_that_is_being_removed_cannot_get_a_model(
    principal: Principal, credential_id: UUID
) -> None:
    with pytest.raises(NotFound):
        overlap(
            principal,
            lambda **who: remove_credential(credential_id=credential_id, **who),
            lambda **who: add_model(credential=credential_id, model=MODEL, **who),
        )
    assert stored(principal) == ([], [])
