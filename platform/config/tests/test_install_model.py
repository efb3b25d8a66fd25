"""Operators install a provider's model from the command line; its key is read, sealed and never shown."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry, Workspace
from accounts.tests.cast import Cast
from kit.secrets import unseal
from kit.tenancy import tenant_scope
from workspaces.models import LanguageModel, ProviderCredential

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "sk-a-key-that-nobody-may-see"
GPT = {
    "tenant": "acme",
    "workspace": "sales",
    "slug": "gpt-4",
    "provider": "openai",
    "upstream_name": "gpt-4.1",
    "context_window": "128000",
    "output_bound": "4096",
}
OLLAMA = {"provider": "compatible", "base_url": "http://ollama.internal:11434/v1", "slug": "qwen"}


@pytest.fixture(autouse=True)
def key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))


def install(*flags: str, **options: str) -> str:
    """Its output; the key is in A_KEY by default."""
    arguments = {**GPT, "key_variable": "A_KEY", **options}
    output = io.StringIO()
    named = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items() if value]
    call_command("install_model", *named, *flags, stdout=output)
    return output.getvalue().strip()


def refusal(*flags: str, **options: str) -> str:
    """The error of a refused command, which must change nothing."""
    before = counts()
    with pytest.raises(CommandError) as refused:
        install(*flags, **options)
    assert counts() == before
    assert KEY not in str(refused.value)
    return str(refused.value)


def counts() -> tuple[int, int, int]:
    workspace = Workspace.objects.select_related("tenant").get(slug="sales", tenant__slug="acme")
    with tenant_scope(workspace.tenant.ref):
        rows = LanguageModel.objects.count(), ProviderCredential.objects.count()
    return (*rows, AuditEntry.objects.count())


def installed(cast: Cast, slug: str) -> LanguageModel:
    with tenant_scope(cast.bob.principal.tenant):
        return LanguageModel.objects.select_related("credential", "fallback").get(slug=slug)


def test_an_embedding_model_needs_no_reply_limit(cast: Cast) -> None:
    install(kind="embedding", output_bound="")
    model = installed(cast, "gpt-4")
    assert (model.kind, model.output_bound, model.abilities) == ("embedding", 0, [])


def test_a_model_is_installed_with_its_key_encrypted(cast: Cast) -> None:
    assert install() == "acme/sales: gpt-4 is installed and enabled."
    model = installed(cast, "gpt-4")
    assert model.workspace_id == cast.bob.principal.workspace.id
    assert (model.provider, model.upstream_name, model.enabled) == ("openai", "gpt-4.1", True)
    assert (model.context_window, model.output_bound) == (128_000, 4096)
    assert model.credential is not None
    assert (model.credential.name, model.credential.base_url) == ("openai", "https://api.openai.com/v1")
    assert KEY not in model.credential.sealed_key
    assert unseal(model.credential.sealed_key) == KEY


def test_it_is_audited_without_the_key(cast: Cast) -> None:
    install()
    lines = list(AuditEntry.objects.filter(via="command").order_by("action"))
    assert [(line.action, line.target) for line in lines] == [
        ("language_model.added", "gpt-4"),
        ("provider_credential.added", "openai"),
    ]
    assert {(line.tenant.slug, line.workspace.slug) for line in lines} == {("acme", "sales")}
    assert KEY not in str([line.details for line in lines])


def test_the_key_may_come_by_standard_input(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
    install(key_variable="")
    credential = installed(cast, "gpt-4").credential
    assert credential is not None
    assert unseal(credential.sealed_key) == KEY


def test_a_second_model_uses_the_credential_again_and_asks_for_no_key(cast: Cast) -> None:
    install(credential="our key")
    install(credential="our key", slug="gpt-4-mini", key_variable="")
    assert installed(cast, "gpt-4").credential_id == installed(cast, "gpt-4-mini").credential_id


def test_a_host_of_your_own_needs_no_key(cast: Cast) -> None:
    install(**OLLAMA, key_variable="")
    credential = installed(cast, "qwen").credential
    assert credential is not None
    assert credential.sealed_key == ""


def test_it_can_have_a_fallback_model_and_be_disabled(cast: Cast) -> None:
    assert install("--disabled", fallback="local").endswith("installed, and disabled.")
    model = installed(cast, "gpt-4")
    assert model.fallback is not None
    assert (model.fallback.slug, model.enabled) == ("local", False)


def test_two_workspaces_have_models_of_the_same_name(cast: Cast) -> None:
    install()
    install(workspace="ops")
    with tenant_scope(cast.bob.principal.tenant):
        assert LanguageModel.objects.filter(slug="gpt-4").count() == 2


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"tenant": "nowhere"}, "No tenant is called nowhere"),
        ({"workspace": "nowhere"}, "no workspace called nowhere"),
        ({"tenant": "globex", "workspace": "ops"}, "no workspace called ops"),
        ({"slug": "GPT 4"}, "--slug"),
        ({"slug": "agent:x"}, "--slug"),
        ({"slug": "s" * 61}, "--slug"),
        ({"slug": "local"}, "--slug"),
        ({"slug": "openai/test"}, "--slug"),
        ({"upstream_name": " "}, "--upstream-name"),
        ({"upstream_name": "u" * 101}, "--upstream-name"),
        ({"name": "n" * 101}, "--name"),
        ({"output_bound": "128000"}, "--output-bound"),
        ({"output_bound": "-1"}, "--output-bound"),
        ({"output_bound": ""}, "--output-bound"),
        ({"kind": "embedding"}, "--output-bound"),
        ({"context_window": "99999999999"}, "--context-window"),
        ({"context_window": "many"}, "invalid int value"),
        ({"provider": "local"}, "invalid choice"),
        ({"provider": "azure"}, "--base-url"),
        ({"base_url": "ftp://example.com"}, "--base-url"),
        ({"base_url": "https://"}, "--base-url"),
        ({"base_url": "https://[::1"}, "--base-url"),
        ({"base_url": "https://me:word@example.com/v1"}, "--base-url"),
        ({"base_url": f"https://example.com/{'a' * 500}"}, "--base-url"),
        ({"key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
        ({"key_variable": ""}, "No key"),
        ({"fallback": "nothing"}, "fallback model nothing is not"),
        ({"fallback": "gpt-4"}, "fallback model gpt-4 is not"),
    ],
)
def test_invalid_arguments_are_named_and_install_nothing(cast: Cast, wrong: dict[str, str], why: str) -> None:
    assert why in refusal(**wrong)


@pytest.mark.parametrize("key", ["two words", "zwei\nzeilen", "schlüssel", "k" * 10_001])
def test_an_invalid_key_is_refused_and_not_shown(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("A_KEY", key)
    assert key not in refusal()


@pytest.mark.parametrize(
    ("again", "why"),
    [
        ({}, "credential named openai exists"),
        ({"credential": "openai"}, "leave out --key-variable"),
        ({"credential": "openai", "key_variable": "", "provider": "anthropic"}, "is for openai"),
        (
            {"credential": "openai", "key_variable": "", "base_url": "https://eu.example.com/v1"},
            "another address",
        ),
    ],
)
def test_an_existing_credential_is_neither_duplicated_nor_changed(
    cast: Cast, again: dict[str, Any], why: str
) -> None:
    install()
    assert why in refusal(slug="gpt-4-mini", **again)
