"""A model is moved to another provider, credential or model ID, and keeps its slug."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry
from accounts.tests.cast import Cast
from accounts.tests.filled import filled
from accounts.tests.requests_as import As
from gateway.calls.learned_ratios import forget_ratios, learned_ratios
from gateway.errors import ProviderError
from gateway.providers.breaker import FAILURES, CircuitBreaker, breaker_for, forget_breakers
from gateway.tests.events import read_events, text_of
from gateway.tests.scripted_provider import ScriptedProvider
from kit.tenancy import tenant_scope
from quotas.models import Price, UsageRecord
from workspaces.language_models.queries import ModelRef, find_model
from workspaces.language_models.tests.test_api import SALES, create_credential, install
from workspaces.language_models.tests.test_use import MODELS, url
from workspaces.language_models.tests.test_use import install as install_served
from workspaces.models import LanguageModel

__all__ = ["url"]  # a fixture
pytestmark = pytest.mark.django_db
GPT = f"{SALES}/models/gpt"
AZURE = {"name": "Azure EU", "kind": "azure", "base_url": "https://eu.example/openai/v1"}


def patch(cast: Cast, path: str = GPT, **body: Any) -> Any:
    return As(cast.alice).ask("PATCH", path, {"test": False} | body)


def row_of(cast: Cast, slug: str) -> LanguageModel:
    with tenant_scope(cast.alice.principal.tenant):
        return LanguageModel.objects.get(slug=slug, workspace_id=cast.alice.principal.workspace.id)


def wrong(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.content
    return list(answer.json()["error"]["details"])


def test_a_model_moves_to_another_provider_under_its_slug_and_the_audit_has_both(cast: Cast) -> None:
    before = install(cast.alice).json()
    azure = create_credential(cast.alice, **AZURE).json()["id"]
    after = patch(cast, credential_id=azure, upstream_name="deployment-1").json()
    assert (after["id"], after["slug"]) == (before["id"], "gpt")
    assert (after["provider"], after["upstream_name"]) == ("azure", "deployment-1")
    assert after["credential_id"] == azure != before["credential_id"]
    entry = AuditEntry.objects.get(action="language_model.changed")
    assert entry.changes == {
        "provider": ["openai", "azure"],
        "endpoint": ["For gpt", "Azure EU"],
        "upstream_name": ["gpt-x", "deployment-1"],
    }
    assert patch(cast, credential_id=azure, upstream_name="deployment-1").status_code == 200
    assert AuditEntry.objects.filter(action="language_model.changed").count() == 1


def test_only_managers_see_the_upstream_and_only_they_change_it(cast: Cast) -> None:
    install(cast.alice, enabled=True)
    shown = As(cast.bob).ask("GET", GPT).json()
    assert (shown["upstream_name"], shown["credential_id"]) == (None, None)
    for stranger, status in ((cast.bob, 403), (cast.dana, 404), (cast.charlie, 404)):
        assert As(stranger).ask("PATCH", GPT, {"upstream_name": "x"}).status_code == status


def test_an_impossible_move_is_refused_by_field(cast: Cast) -> None:
    install(cast.alice)
    ours = create_credential(cast.alice, name="Ours").json()["id"]
    foreign = "00000000-0000-4000-8000-000000000000"
    assert wrong(patch(cast, credential_id=foreign)) == ["credential_id"]
    assert wrong(patch(cast, credential_id=None)) == ["credential_id"]
    assert wrong(patch(cast, upstream_name="")) == ["upstream_name"]
    assert wrong(patch(cast, provider="azure")) == ["provider"]
    local = f"{SALES}/models/local"
    assert wrong(patch(cast, local, upstream_name="gpt-x")) == ["upstream_name"]
    assert wrong(patch(cast, local, credential_id=ours)) == ["upstream_name"]


def test_the_built_in_model_is_moved_to_a_credential_and_back(cast: Cast) -> None:
    local = f"{SALES}/models/local"
    before = As(cast.alice).ask("GET", local).json()
    ours = create_credential(cast.alice).json()["id"]
    away = patch(
        cast, local, credential_id=ours, upstream_name="gpt-x", context_window=99_000, output_bound=9_000
    )
    assert (away.json()["provider"], away.json()["context_window"]) == ("openai", 99_000)
    assert As(cast.alice).ask("DELETE", local).status_code == 409
    assert wrong(patch(cast, local, credential_id=None, context_window=99_000)) == ["context_window"]
    assert wrong(patch(cast, local, credential_id=None, upstream_name="gpt-x")) == ["upstream_name"]
    back = patch(cast, local, credential_id=None)
    assert back.json() == before


def test_own_prices_are_deleted_with_the_upstream_they_were_for(cast: Cast) -> None:
    install(cast.alice)
    prices = {"input": 5, "output": 7}
    As(cast.alice).ask("POST", f"{GPT}/prices", prices)
    second = create_credential(cast.alice, name="A second key").json()["id"]
    assert patch(cast, credential_id=second).json()["price"]["input"] == 5  # of the same provider
    Price.objects.create(
        provider="openai", model="gpt-y", input=9, output=9, effective_from="2026-01-01T00:00Z"
    )
    assert patch(cast, upstream_name="gpt-y").json()["price"]["input"] == 9
    entry = AuditEntry.objects.filter(action="language_model.changed").latest("at")
    assert entry.changes["own_prices"] == [1, 0]
    assert patch(cast, upstream_name="gpt-z").json()["price"] is None
    assert patch(cast, upstream_name="gpt-6.2-astra").json()["price"] is not None  # the catalogue's


def test_neither_an_open_breaker_nor_learned_ratios_follow_a_model_to_its_new_upstream(cast: Cast) -> None:
    install(cast.alice)
    old = ref_of(cast)
    for _ in range(FAILURES):
        with pytest.raises(ProviderError), breaker_of(old).attempt("openai"):
            raise ProviderError(provider="openai", provider_status=500, transient=True)
    learned_ratios().learn(old, counted=500, estimated=100)
    second = create_credential(cast.alice, name="A second key").json()["id"]
    patch(cast, credential_id=second)
    patch(cast, upstream_name="gpt-y")
    new = ref_of(cast)
    assert (breaker_of(old).is_open, breaker_of(new).is_open) == (True, False)
    assert (learned_ratios().ratio_of(old), learned_ratios().ratio_of(new)) == (5.0, 1.0)
    forget_breakers()
    forget_ratios()


def ref_of(cast: Cast) -> ModelRef:
    with tenant_scope(cast.alice.principal.tenant):
        return find_model(workspace_id=cast.alice.principal.workspace.id, slug="gpt")


def breaker_of(model: ModelRef) -> CircuitBreaker:
    assert model.endpoint is not None
    return breaker_for(
        provider=model.provider,
        base_url=model.endpoint.base_url,
        key="",
        owner_id=model.endpoint.credential_id,
    )


def test_the_page_moves_a_model_and_keeps_fields_that_are_not_sent(cast: Cast) -> None:
    install(cast.alice)
    azure = create_credential(cast.alice, **AZURE).json()["id"]
    client = Client()
    client.force_login(cast.alice.user)
    path = "/t/acme/w/sales/models/gpt"
    sent = filled(client.get(path).content.decode(), "upstream_name")
    assert (sent["upstream_name"], sent["test"]) == (["gpt-x"], ["on"])
    del sent["test"]
    client.post(path, sent | {"credential_id": azure, "upstream_name": "deployment-1"})
    row = row_of(cast, "gpt")
    assert (row.provider, str(row.credential_id), row.upstream_name) == ("azure", azure, "deployment-1")
    del sent["upstream_name"], sent["credential_id"]
    client.post(path, sent | {"name": "Renamed"})
    row = row_of(cast, "gpt")
    assert (row.name, row.provider, row.upstream_name) == ("Renamed", "azure", "deployment-1")


def test_the_page_moves_the_built_in_model_away_and_back(cast: Cast) -> None:
    ours = create_credential(cast.alice).json()["id"]
    client = Client()
    client.force_login(cast.alice.user)
    path = "/t/acme/w/sales/models/local"
    for credential, upstream in ((ours, "gpt-x"), ("built-in", "gpt-x")):
        sent = filled(client.get(path).content.decode(), "upstream_name")
        del sent["test"]
        limits = {"context_window": "50000", "output_bound": "10000"}
        answer = client.post(
            path, sent | limits | {"credential_id": credential, "upstream_name": upstream}, follow=True
        )
        assert "Saved." in answer.content.decode()
    row = row_of(cast, "local")
    assert (row.provider, row.upstream_name, row.credential_id) == ("local", "smollm2-135m", None)


@pytest.mark.django_db(transaction=True)
def test_the_next_call_by_the_same_name_reaches_the_new_upstream(
    url: str, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    alice = client_of(cast.alice)
    install_served(alice, url, "ours")
    provider.unknown = {"unknown"}
    refused = alice.patch(f"{MODELS}/ours", json={"upstream_name": "unknown"})
    assert wrong(refused) == ["upstream_name"]
    tested = UsageRecord.objects.filter(purpose="test").count()
    assert alice.patch(f"{MODELS}/ours", json={"upstream_name": "ours-2"}).status_code == 200
    assert UsageRecord.objects.filter(purpose="test").count() == tested + 1
    assert text_of(read_events(client_of(cast.bob), "hi", model="ours")) == "Hello there."
    assert provider.requests[-1]["model"] == "ours-2"
    unreachable = {"name": "Away", "kind": "compatible", "key": "x", "base_url": "http://127.0.0.1:9/v1"}
    away = alice.post("/v1/workspaces/sales/credentials", json=unreachable | {"test": False}).json()["id"]
    assert wrong(alice.patch(f"{MODELS}/ours", json={"credential_id": away})) == ["credential_id"]
