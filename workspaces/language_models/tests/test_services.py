"""Credentials, models and chains of fallbacks, below rights and audit."""

from uuid import uuid4

import pytest

from accounts.tests.cast import Cast
from kit.errors import Conflict, InvalidInput, NotFound
from kit.secrets import unseal
from kit.tenancy import tenant_scope
from workspaces.language_models.installation import add_credential, change_key, install_model, set_fallback
from workspaces.language_models.model_access import Chatter
from workspaces.language_models.models import LanguageModel, ProviderCredential
from workspaces.language_models.queries import fallback_chain, installed_models

pytestmark = pytest.mark.django_db
KEY = "sk-very-secret"
MEMBER = Chatter(uuid4(), "member")


@pytest.fixture(autouse=True)
def inside(cast: Cast) -> object:
    with tenant_scope(cast.alice.principal.tenant):
        yield


@pytest.fixture
def credential(cast: Cast) -> ProviderCredential:
    workspace = cast.alice.principal.workspace.id
    return add_credential(workspace_id=workspace, name="Ours", kind="openai", key=KEY)


def install(credential: ProviderCredential, slug: str, *, enabled: bool = True) -> LanguageModel:
    bounds = {"context_window": 8000, "output_bound": 1000}
    return install_model(credential=credential, slug=slug, upstream_name=slug, enabled=enabled, **bounds)


def chain(credential: ProviderCredential, slug: str) -> list[str]:
    installed = installed_models(workspace_id=credential.workspace_id)
    first = next(model for model in installed if model.slug == slug)
    return [model.slug for model in fallback_chain(first, installed, MEMBER)]


def test_a_key_is_encrypted_and_in_no_repr(credential: ProviderCredential) -> None:
    install(credential, "gpt-4")
    model = next(m for m in installed_models(workspace_id=credential.workspace_id) if m.slug == "gpt-4")
    assert model.endpoint is not None
    assert KEY not in f"{credential.sealed_key} {model!r} {model.endpoint!r} {vars(credential)}"
    assert credential.sealed_key not in repr(model)
    assert unseal(model.endpoint.sealed_key) == KEY
    assert model.endpoint.base_url == "https://api.openai.com/v1"


def test_a_key_is_changed_without_changing_the_models(credential: ProviderCredential) -> None:
    install(credential, "gpt-4")
    change_key(credential=credential, key="sk-new")
    model = next(m for m in installed_models(workspace_id=credential.workspace_id) if m.slug == "gpt-4")
    assert model.endpoint is not None
    assert unseal(model.endpoint.sealed_key) == "sk-new"


@pytest.mark.parametrize("base_url", ["", "ftp://host/v1", "nonsense"])
def test_an_invalid_url_is_refused(cast: Cast, base_url: str) -> None:
    with pytest.raises(InvalidInput):
        add_credential(workspace_id=uuid4(), name="Ours", kind="compatible", key="", base_url=base_url)


def test_names_and_slugs_are_unique(cast: Cast, credential: ProviderCredential) -> None:
    install(credential, "gpt-4")
    with pytest.raises(Conflict):
        install(credential, "gpt-4")
    with pytest.raises(Conflict):
        add_credential(workspace_id=credential.workspace_id, name="Ours", kind="anthropic", key=KEY)


def test_fallbacks_are_used_in_their_order(credential: ProviderCredential) -> None:
    for slug in ("a", "b", "c"):
        install(credential, slug)
    workspace_id = credential.workspace_id
    set_fallback(workspace_id=workspace_id, slug="a", fallback="b")
    set_fallback(workspace_id=workspace_id, slug="b", fallback="c")
    assert chain(credential, "a") == ["a", "b", "c"]
    LanguageModel.objects.filter(slug="b").update(enabled=False)
    assert chain(credential, "a") == ["a"]


def test_a_chain_of_fallbacks_is_never_a_loop(credential: ProviderCredential) -> None:
    for slug in ("a", "b", "c"):
        install(credential, slug)
    workspace_id = credential.workspace_id
    set_fallback(workspace_id=workspace_id, slug="a", fallback="b")
    set_fallback(workspace_id=workspace_id, slug="b", fallback="c")
    for slug, fallback in (("c", "a"), ("a", "a")):
        with pytest.raises(InvalidInput):
            set_fallback(workspace_id=workspace_id, slug=slug, fallback=fallback)
    with pytest.raises(NotFound):
        set_fallback(workspace_id=workspace_id, slug="a", fallback="nothing")
    set_fallback(workspace_id=workspace_id, slug="a", fallback="")
    assert chain(credential, "a") == ["a"]
