"""Models in use: tested before they are saved, restricted to some members, removed during a turn."""

from typing import Any

import pytest

from accounts.tests.cast import Cast
from gateway.tests.events import STREAM, body, parse, read_events, send, text_of
from gateway.tests.real_mcp import RealMCP
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.tool_setup import MODEL, asks_for, install_calculator, say
from kit.tenancy import tenant_scope
from quotas.models import Reservation, UsageRecord
from workspaces.models import LanguageModel, ProviderCredential

MODELS = "/v1/workspaces/sales/models"
KEY = "sk-scripted"


@pytest.fixture
def url(provider: ScriptedProvider, settings: Any, server: Any) -> str:
    provider.key = KEY
    settings.OUTBOUND_ALLOWED = [settings.LOCAL_MODEL_URL.removeprefix("http://")]
    return f"{settings.LOCAL_MODEL_URL}/v1"


def install(client: Any, url: str, *slugs: str, **fields: Any) -> Any:
    """Models with one credential at a compatible provider; returns the last response, or the refusal."""
    credential = client.post(
        "/v1/workspaces/sales/credentials",
        json={"name": "Ours", "kind": "compatible", "key": KEY, "base_url": url}
        | fields.pop("credential", {}),
    )
    if credential.status_code != 201:
        return credential
    for slug in slugs:
        model = {
            "credential_id": credential.json()["id"],
            "slug": slug,
            "upstream_name": f"{slug}-1",
            "context_window": 10_000,
            "output_bound": 200,
            "enabled": True,
        }
        made = client.post(MODELS, json=model | fields)
    return made


def known(cast: Cast) -> tuple[int, int]:
    with tenant_scope(cast.alice.principal.tenant):
        return ProviderCredential.objects.count(), LanguageModel.objects.exclude(provider="local").count()


def test_a_model_is_saved_once_it_answers_and_the_tester_pays(url: str, client_of: Any, cast: Cast) -> None:
    assert install(client_of(cast.alice), url, "ours").status_code == 201
    record = UsageRecord.objects.get(purpose="test")
    assert (record.user_id, record.model) == (cast.alice.principal.user_id, "ours")
    assert not Reservation.objects.filter(state="open").exists()
    assert client_of(cast.alice).post(f"{MODELS}/ours/test").status_code == 200
    assert text_of(read_events(client_of(cast.bob), "hi", model="ours")) == "Hello there."


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"credential": {"key": "sk-wrong"}}, "key"),
        ({"credential": {"base_url": "http://127.0.0.1:9/v1"}}, "base_url"),
        ({"upstream_name": "unknown"}, "upstream_name"),
    ],
)
def test_what_fails_the_test_is_named_by_field_and_not_saved(  # noqa: PLR0917 - fixtures
    url: str,
    provider: ScriptedProvider,
    client_of: Any,
    cast: Cast,
    settings: Any,
    wrong: dict[str, Any],
    field: str,
) -> None:
    provider.unknown = {"unknown"}
    settings.OUTBOUND_ALLOWED = [*settings.OUTBOUND_ALLOWED, "127.0.0.1:9"]
    refused = install(client_of(cast.alice), url, "ours", **wrong)
    assert (refused.status_code, list(refused.json()["error"]["details"])) == (422, [field])
    assert KEY not in refused.text
    assert "own words" not in refused.text
    assert known(cast)[1] == 0


def test_a_refused_new_key_leaves_the_old_one(
    url: str, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, url, "ours")
    credential = alice.get("/v1/workspaces/sales/credentials").json()["data"][0]
    path = f"/v1/workspaces/sales/credentials/{credential['id']}"
    assert alice.patch(path, json={"key": "sk-wrong"}).status_code == 422
    assert text_of(read_events(alice, "hi", model="ours")) == "Hello there."
    provider.key = "sk-new"
    assert alice.patch(path, json={"key": "sk-new"}).status_code == 200
    assert text_of(read_events(alice, "hi", model="ours")) == "Hello there."


def test_access_is_checked_everywhere_and_deny_wins(url: str, client_of: Any, cast: Cast) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    install(alice, url, "ours", "spare", test=False)
    alice.patch(f"{MODELS}/local", json={"fallback": "ours"})
    me = str(cast.bob.principal.user_id)
    for access, is_allowed in (
        ({"allow": {"roles": ["manager"]}}, False),
        ({"allow": {"roles": ["editor"]}}, True),
        ({"allow": {"members": [me]}}, True),
        ({"allow": {"members": [me]}, "deny": {"roles": ["editor"]}}, False),
        ({"deny": {"members": [me]}}, False),
        ({"allow": {}, "deny": {}}, True),
    ):
        assert alice.patch(f"{MODELS}/ours", json={"access": access}).status_code == 200
        named = {row["slug"] for row in bob.get(MODELS).json()["data"]}
        asked = {row["id"] for row in bob.get("/v1/models").json()["data"]}
        explained = bob.post("/v1/chat/explain", json=body("hi", model="ours")).json()
        answer = send(bob, "hi", model="ours")
        assert ("ours" in named, "ours" in asked, explained["allowed"]) == (is_allowed,) * 3
        assert answer.status_code == (200 if is_allowed else 403)
        if not is_allowed:
            assert answer.json()["error"]["code"] == "model_not_allowed"
            assert bob.get(f"{MODELS}/ours").status_code == 404
            assert any(
                "denied" in check["reason"] or "needs the" in check["reason"] for check in explained["checks"]
            )


def test_a_fallback_needs_access_too(
    url: str, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    install(alice, url, "first", "second", test=False)
    alice.patch(f"{MODELS}/first", json={"fallback": "second"})
    alice.patch(f"{MODELS}/second", json={"access": {"deny": {"roles": ["editor"]}}})
    provider.unknown = {"first-1"}
    assert text_of(read_events(alice, "hi", model="first")) == "Hello there."
    assert send(bob, "hi", model="first").status_code == 502


@pytest.mark.parametrize(
    "access",
    [
        {"allow": {"roles": ["wizard"]}},
        {"allow": {"members": ["nobody"]}},
        {"deny": {"members": ["00000000-0000-4000-8000-000000000000"]}},
        {"allow": "everybody"},
        [],
    ],
)
def test_access_for_unknown_people_is_refused(server: Any, client_of: Any, cast: Cast, access: Any) -> None:
    answer = client_of(cast.alice).patch(f"{MODELS}/local", json={"access": access})
    assert answer.status_code == 422
    assert all(field.startswith("access") for field in answer.json()["error"]["details"])


def test_a_models_parameters_are_the_defaults_of_a_request(
    url: str, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    install(alice, url, "ours", test=False, parameters={"temperature": 0.3, "reasoning_effort": "low"})
    read_events(alice, "hi", model="ours")
    read_events(alice, "hi", model="ours", temperature=1)
    asked = [(sent["temperature"], sent["reasoning_effort"]) for sent in provider.requests]
    assert asked == [(0.3, "low"), (1, "low")]
    for parameters in ({"temperature": 3}, {"top_p": -1}, {"reasoning_effort": "much"}):
        answer = alice.patch(f"{MODELS}/ours", json={"parameters": parameters})
        assert answer.status_code == 422


def reinstall(client: Any, slug: str) -> None:
    (credential,) = client.get("/v1/workspaces/sales/credentials").json()["data"]
    model = {
        "credential_id": credential["id"],
        "slug": slug,
        "upstream_name": "other",
        "abilities": ["tools"],
    }
    bounds = {"context_window": 10_000, "output_bound": 200, "enabled": True, "test": False}
    assert client.post(MODELS, json=model | bounds).status_code == 201


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("DELETE", f"{MODELS}/{MODEL}", None), "model_not_enabled"),
        (("PATCH", f"{MODELS}/{MODEL}", {"access": {"deny": {"roles": ["editor"]}}}), "model_not_allowed"),
    ],
)
def test_a_model_removed_during_a_turn_ends_it_at_its_next_call(  # noqa: PLR0917 - fixtures
    calculator: RealMCP,
    provider: ScriptedProvider,
    client_of: Any,
    cast: Cast,
    change: tuple[str, str, Any],
    code: str,
) -> None:
    alice, bob = client_of(cast.alice), client_of(cast.bob)
    install_calculator(alice, calculator.url)
    say(provider, asks_for(("wipe_mcp_calculator", {"what": "notes"})))
    sent, events = body("wipe", model=MODEL, mcps=["calculator"]), []
    with bob.stream("POST", "/v1/chat/send", json=sent, headers=STREAM) as answer:
        for event in parse(answer.iter_lines()):
            events.append(event)
            if event.type == "approval":
                method, path, fields = change
                assert alice.request(method, path, json=fields).is_success
                turn = f"/v1/chat/turns/{events[0].data['turn_id']}/approvals/{event.data['approval_id']}"
                assert bob.post(turn, json={"decision": "allow"}).status_code == 200
                if method == "DELETE":  # another model with its name is not the chosen one
                    reinstall(alice, MODEL)
    assert next(event.data["error"]["code"] for event in events if event.type == "error") == code
    assert [event.type for event in events[-2:]] == ["usage", "done"]
    assert len(provider.requests) == 1


def test_a_key_revoked_during_a_turn_ends_it_and_its_usage_counts(
    calculator: RealMCP, provider: ScriptedProvider, client_of: Any, cast: Cast
) -> None:
    install_calculator(client_of(cast.alice), calculator.url)
    say(provider, asks_for(("add_mcp_calculator", {"a": 1, "b": 2})), Script(status=401))
    events = read_events(client_of(cast.bob), "add", model=MODEL, mcps=["calculator"])
    data = {event.type: event.data for event in events}
    assert data["error"]["error"]["code"] == "provider_error"
    assert data["usage"]["total_tokens"] == sum(provider.reported[0])
    assert KEY not in str(events)


def test_models_of_the_catalogue_are_installed_by_provider_and_key(
    server: Any, client_of: Any, cast: Cast
) -> None:
    alice = client_of(cast.alice)
    listed = {row["slug"]: row for row in alice.get("/v1/model-catalogue").json()["data"]}
    choice = [model["slug"] for model in listed["groq"]["models"][:2]]
    chosen = {"provider": "groq", "models": choice, "key": KEY, "test": False}
    made = alice.post(f"{MODELS}/install", json=chosen)
    assert (made.status_code, [row["slug"] for row in made.json()["data"]]) == (201, sorted(choice))
    assert all(row["price"]["input"] > 0 and not row["enabled"] for row in made.json()["data"])
    again = alice.post(f"{MODELS}/install", json=chosen | {"models": choice[:1]})
    assert [row["slug"] for row in again.json()["data"]] == [f"{choice[0]}-2"]
    for wrong in ({"models": ["nothing"]}, {"provider": "nothing"}):
        assert alice.post(f"{MODELS}/install", json=chosen | wrong).status_code == 404
