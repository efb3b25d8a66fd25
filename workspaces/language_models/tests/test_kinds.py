"""Models that are not for chat: how they are installed, listed and changed, and fields they cannot have."""

from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.tests.cast import Cast
from accounts.tests.requests_as import As
from kit.tenancy import tenant_scope
from quotas.models import Price
from workspaces.language_models.tests.test_api import SALES, create_credential, install
from workspaces.models import LanguageModel

pytestmark = pytest.mark.django_db
EMBEDDING = {"kind": "embedding", "output_bound": 0, "context_window": 8191}
MIGRATION = import_module("workspaces.migrations.0015_local_embedding_model")


def test_an_embedding_model_is_installed_listed_and_changed(cast: Cast) -> None:
    made = install(cast.alice, "embed", **EMBEDDING, enabled=True)
    assert made.status_code == 201, made.json()
    assert (made.json()["kind"], made.json()["output_bound"]) == ("embedding", 0)
    change = {"name": "Embed", "context_window": 512, "enabled": False}
    assert As(cast.alice).ask("PATCH", f"{SALES}/models/embed", change).json()["context_window"] == 512
    kinds = {row["slug"]: row["kind"] for row in As(cast.alice).ask("GET", f"{SALES}/models").json()["data"]}
    assert kinds == {"embed": "embedding", "local": "chat", "local-embedding": "embedding"}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({**EMBEDDING, "output_bound": 5}, "output_bound"),
        ({**EMBEDDING, "abilities": ["tools"]}, "abilities"),
        ({**EMBEDDING, "parameters": {"temperature": 1}}, "parameters"),
        ({**EMBEDDING, "kind": "video"}, "kind"),
        ({"kind": "chat", "output_bound": 0}, "output_bound"),
        ({"kind": "chat", "output_bound": 1000}, "output_bound"),
    ],
)
def test_a_field_that_its_kind_does_not_have_is_refused_by_name(
    cast: Cast, fields: dict[str, Any], wrong: str
) -> None:
    refused = install(cast.alice, "embed", **fields)
    assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, [wrong])


def test_a_chat_model_needs_a_reply_limit_and_keeps_it(cast: Cast) -> None:
    credential = create_credential(cast.alice).json()["id"]
    body = {
        "credential_id": credential,
        "slug": "gpt",
        "upstream_name": "g",
        "context_window": 1000,
        "test": False,
    }
    refused = As(cast.alice).ask("POST", f"{SALES}/models", body)
    assert list(refused.json()["error"]["details"]) == ["output_bound"]
    install(cast.alice, "gpt-2")
    refused = As(cast.alice).ask("PATCH", f"{SALES}/models/gpt-2", {"output_bound": 0})
    assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, ["output_bound"])


def test_anthropic_has_no_embedding_models(cast: Cast) -> None:
    credential = create_credential(cast.alice, kind="anthropic").json()["id"]
    refused = install(cast.alice, "embed", **EMBEDDING, credential_id=credential)
    assert list(refused.json()["error"]["details"]) == ["kind"]
    assert "Anthropic has no embedding models." in str(refused.json())


def test_only_chat_models_can_be_fallbacks(cast: Cast) -> None:
    install(cast.alice, "gpt")
    install(cast.alice, "embed", **EMBEDDING)
    for slug, fallback in (("gpt", "embed"), ("embed", "gpt"), ("embed", "local-embedding")):
        refused = As(cast.alice).ask("PATCH", f"{SALES}/models/{slug}", {"fallback": fallback})
        assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, ["fallback"])
    assert As(cast.alice).ask("PATCH", f"{SALES}/models/gpt", {"fallback": "local"}).status_code == 200


def test_the_catalogue_installs_them_with_their_price(cast: Cast) -> None:
    chosen = {"provider": "openai", "models": ["text-embedding-3-small", "omni-moderation"], "key": "sk-1"}
    made = As(cast.alice).ask("POST", f"{SALES}/models/install", {**chosen, "test": False})
    assert made.status_code == 201, made.json()
    with tenant_scope(cast.alice.principal.tenant):
        rows = LanguageModel.objects.exclude(provider="local").order_by("slug")
        assert [(row.slug, row.kind, row.context_window, row.output_bound) for row in rows] == [
            ("omni-moderation", "moderation", 32_768, 0),
            ("text-embedding-3-small", "embedding", 8191, 0),
        ]
    prices = Price.objects.filter(workspace=cast.alice.principal.workspace.id).order_by("model")
    assert [(price.model, price.input, price.output) for price in prices] == [
        ("omni-moderation", 0, 0),
        ("text-embedding-3-small", 20_000, 0),
    ]


def test_the_pages_show_the_kind_and_only_its_fields(cast: Cast) -> None:
    alice = Client()
    alice.force_login(cast.alice.user)
    form = {
        **{"name": "Embed", "slug": "embed", "upstream_name": "e", "kind_of_model": "embedding"},
        **{
            "context_window": "8191",
            "output_bound": "4096",
            "credential": "new",
            "kind": "openai",
            "key": "k",
        },
    }
    listed = alice.post("/t/acme/w/sales/models/install/", form, follow=True).content.decode()
    assert "Model installed." in listed
    assert listed.count('class="badge badge-accent">embedding') == 2
    page = alice.get("/t/acme/w/sales/models/embed").content.decode()
    assert 'name="context_window"' in page
    assert not any(
        f'name="{name}"' in page for name in ("output_bound", "fallback", "temperature", "abilities")
    )
    saved = alice.post("/t/acme/w/sales/models/embed", {"name": "E", "enabled": "on", "context_window": "99"})
    assert saved.status_code == 302
    chat = alice.get("/t/acme/w/sales/models/local").content.decode()
    assert 'name="temperature"' in chat
    assert '<option value="local-embedding">' not in chat
    picker = alice.get("/t/acme/w/sales/chat/").content.decode()
    assert "SmolLM2" in picker
    assert "MiniLM" not in picker


def test_existing_workspaces_get_the_built_in_embedding_model_once(cast: Cast) -> None:
    with tenant_scope(cast.alice.principal.tenant):
        built_in = LanguageModel.objects.filter(slug="local-embedding")
        before = built_in.count()
        built_in.delete()
        LanguageModel.objects.filter(workspace_id=cast.alice.principal.workspace.id).update(enabled=False)
        for _ in range(2):
            with connection.cursor() as cursor:
                cursor.execute(MIGRATION.ADD)
        assert built_in.count() == before == LanguageModel.objects.filter(slug="local").count()
        mine = built_in.get(workspace_id=cast.alice.principal.workspace.id)
        assert (mine.kind, mine.provider, mine.enabled, mine.credential) == (
            "embedding",
            "local",
            False,
            None,
        )
