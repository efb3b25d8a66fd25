"""Anthropic's clients list the models in their own format, and send their key in their own header."""

from typing import Any

import anthropic
import httpx
import pytest

from accounts.tests.cast import Cast
from gateway.tests.served import Served
from kit.tenancy import tenant_scope
from workspaces.models import LanguageModel


@pytest.fixture
def three(cast: Cast, server: Served) -> None:
    """Models a and b, in addition to local."""
    with tenant_scope(cast.alice.principal.tenant):
        row = LanguageModel.objects.get(slug="local", workspace_id=cast.alice.principal.workspace.id)
        for slug in ("a", "b"):
            row.pk, row.slug, row.name = None, slug, slug.upper()
            row._state.adding = True
            row.id = LanguageModel._meta.get_field("id").get_default()
            row.save()


@pytest.mark.usefixtures("three")
def test_its_package_lists_the_models_page_by_page(alice: anthropic.Anthropic) -> None:
    page = alice.models.list(limit=2)
    assert ([model.id for model in page.data], page.has_more) == (["a", "b"], True)
    assert [model.id for model in alice.models.list(limit=1)] == ["a", "b", "local"]
    assert [model.id for model in alice.models.list(limit=1, before_id="local").data] == ["b"]
    model = alice.models.retrieve("local")
    assert (model.type, model.lifecycle, model.created_at.tzinfo is not None) == ("model", "active", True)
    assert model.max_input_tokens
    with pytest.raises(anthropic.NotFoundError) as refusal:
        alice.models.retrieve("claude-opus-9")
    assert refusal.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    for query in ({"limit": 0}, {"limit": 10_000}, {"after_id": "nothing"}):
        with pytest.raises(anthropic.BadRequestError, match=next(iter(query))):
            alice.models.list(**query)  # type: ignore[arg-type]


def test_a_key_in_x_api_key_is_a_bearer_token(server: Served, client_of: Any, cast: Cast) -> None:
    body = {"name": "mine", "scopes": ["chat"]}
    key = client_of(cast.bob).post("/v1/workspaces/sales/api-keys", json=body).json()["key"]
    hello = {"model": "local", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    with httpx.Client(base_url=server.url, headers={"x-api-key": key}) as client:
        assert client.get("/v1/models").json()["data"][0]["id"] == "local"
        assert client.get("/v1/conversations").status_code == 200
        for route in ("/v1/messages", "/v1/chat/completions"):
            assert client.post(route, json=hello).status_code == 200
            same = client.post(route, json=hello, headers={"authorization": f"Bearer {key}"})
            assert same.status_code == 200
            other = client.post(route, json=hello, headers={"authorization": f"Bearer {cast.bob.token}"})
            assert (other.status_code, "x-api-key" in other.json()["error"]["message"]) == (401, True)
        assert client.get("/v1/models", headers={"authorization": "Bearer other"}).status_code == 401
        assert client.post("/v1/messages", json=hello, headers={"x-api-key": "no"}).status_code == 401
