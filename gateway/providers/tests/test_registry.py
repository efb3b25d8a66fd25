"""A model's calls are answered by its provider, with a key that is decrypted for each call."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from gateway.errors import ProviderError
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.base import Finish, Provider
from gateway.providers.local import LocalProvider
from gateway.providers.openai import AzureProvider, CompatibleProvider, OpenAIProvider
from gateway.providers.registry import provider_for
from gateway.providers.resilience import ResilientProvider
from gateway.providers.tests.scripted_http import ScriptedServer
from gateway.providers.tests.scripted_openai import reply
from kit.secrets import seal
from kit.tests.ports import free_port
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import Endpoint, ModelRef

ALL = (AnthropicProvider, AzureProvider, CompatibleProvider, LocalProvider, OpenAIProvider)


def model(provider: str, sealed_key: str = "", base_url: str = "https://api.example.com/v1") -> ModelRef:
    return ModelRef(
        id=uuid4(),
        slug="m",
        name="M",
        provider=provider,
        upstream_name="m-1",
        context_window=8192,
        output_bound=512,
        enabled=True,
        created_at=datetime.now(UTC),
        endpoint=None if provider == "local" else Endpoint(uuid4(), base_url, sealed_key),
    )


def is_open(provider: Provider) -> bool:
    assert isinstance(provider, ResilientProvider)
    return provider._breaker.is_open


def inner(provider: Provider) -> Provider:
    assert isinstance(provider, ResilientProvider)
    return provider.provider


@pytest.mark.parametrize("kind", ALL)
def test_each_kind_has_its_provider(kind: type[Provider]) -> None:
    provider = provider_for(model(kind.name))
    assert type(inner(provider)) is kind
    assert provider.name == kind.name


def test_every_installable_kind_has_a_provider() -> None:
    assert {kind.name for kind in ALL} == set(LanguageModel.Provider.values)


async def test_the_key_is_decrypted_for_the_call(upstream: ScriptedServer, events_of: Any) -> None:
    upstream.answers = [reply("Hi")]
    events = await events_of(provider_for(model("openai", seal("sk-1\n"), upstream.url)))
    assert events[-1] == Finish("stop")
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (model("unheard-of"), "Unknown provider"),
        (model("openai", "gAAAA nonsense"), "cannot be read"),
    ],
)
def test_a_model_that_cannot_be_called_is_refused_before_anything_is_sent(ref: ModelRef, words: str) -> None:
    with pytest.raises(ProviderError, match=words) as refusal:
        provider_for(ref)
    assert refusal.value.did_no_work


@pytest.mark.parametrize("key", ["sk-1\r\nHost: elsewhere", "sk-é", "sk\0"])
def test_a_key_that_is_invalid_in_a_header_is_refused(key: str) -> None:
    with pytest.raises(ProviderError, match="contains invalid characters"):
        provider_for(model("openai", seal(key)))


@pytest.mark.parametrize("kind", ["local", "compatible"])
async def test_failures_in_one_workspace_do_not_block_another(
    kind: str, events_of: Any, settings: Any
) -> None:
    unused = f"127.0.0.1:{free_port()}"
    settings.LOCAL_MODEL_URL, settings.OUTBOUND_ALLOWED = f"http://{unused}", [unused]
    ours, theirs = (model(kind, seal("sk-the-same"), f"http://{unused}/v1") for _ in range(2))
    while not is_open(provider_for(ours)):
        with pytest.raises(ProviderError, match="cannot be reached"):
            await events_of(provider_for(ours))
    with pytest.raises(ProviderError, match="Try again in"):
        await events_of(provider_for(ours))
    assert not is_open(provider_for(theirs))
    with pytest.raises(ProviderError, match="cannot be reached"):
        await events_of(provider_for(theirs))


async def test_only_the_local_model_counts_tokens() -> None:
    for kind in ("openai", "azure", "anthropic", "compatible"):
        assert await provider_for(model(kind)).count_text("hi") is None
