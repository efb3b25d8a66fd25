"""An API key wherever a token goes: OpenAI's own package, our routes, sockets."""

from typing import Any

import openai
import pytest

from accounts.models import ApiKey
from accounts.tests.cast import Cast, Person
from gateway.tests.events import send
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from quotas.models import UsageRecord


def key_of(client_of: Any, person: Person, *scopes: str) -> str:
    answer = client_of(person).post(
        f"/v1/workspaces/{person.principal.workspace.slug}/api-keys",
        json={"name": "mine", "scopes": list(scopes)},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def test_the_openai_package_chats_with_it(
    server: Served, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    key = key_of(client_of, cast.bob, "chat")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key) as client:
        answer = client.chat.completions.create(model="local", messages=[{"role": "user", "content": "Hi"}])
        assert answer.choices[0].message.content == "Hello there."
        assert [model.id for model in client.models.list()] == ["local", "local-embedding"]
    assert UsageRecord.objects.get().user_id == cast.bob.principal.user_id


def test_a_key_that_only_reads_does_not_chat(server: Served, client_of: Any, cast: Cast) -> None:
    key = key_of(client_of, cast.bob, "read")
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client,
        pytest.raises(openai.PermissionDeniedError),
    ):
        client.chat.completions.create(model="local", messages=[{"role": "user", "content": "Hi"}])
    assert not UsageRecord.objects.exists()


def test_a_revoked_key_is_refused_by_the_next_request(server: Served, client_of: Any, cast: Cast) -> None:
    key = key_of(client_of, cast.bob, "chat")
    client = client_of(cast.bob)
    client.headers["Authorization"] = f"Bearer {key}"
    assert send(client, "Hi").status_code == 200
    client_of(cast.bob).delete(f"/v1/api-keys/{ApiKey.objects.get().id}")
    assert send(client, "Hi").status_code == 401
