"""Finds the provider that answers a model's calls, with the key that its workspace has stored."""

from gateway.errors import ProviderError
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.base import Provider
from gateway.providers.breaker import breaker_for
from gateway.providers.local import LocalProvider
from gateway.providers.local_embeddings import LocalEmbeddingProvider
from gateway.providers.openai import AzureProvider, CompatibleProvider, OpenAIProvider
from gateway.providers.resilience import ResilientProvider
from kit.secrets import SecretUnreadable, unseal
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import Endpoint, ModelRef

REMOTE: dict[str, type[OpenAIProvider] | type[AnthropicProvider]] = {
    kind.name: kind for kind in (OpenAIProvider, AzureProvider, AnthropicProvider, CompatibleProvider)
}


def provider_for(model: ModelRef) -> Provider:
    """ProviderError for an unknown provider, and for a key that cannot be used."""
    return asked_provider(model)


def asked_provider(model: ModelRef) -> ResilientProvider:
    """The same, for requests other than chats."""
    if model.provider == LocalProvider.name:
        is_chat = model.kind == LanguageModel.Kind.CHAT
        local = LocalProvider() if is_chat else LocalEmbeddingProvider()
        breaker = breaker_for(provider=local.name, base_url=local.base_url, key="", owner_id=model.id)
        return ResilientProvider(local, breaker)
    if model.provider not in REMOTE or model.endpoint is None:
        raise _unusable("Unknown provider.", model)
    key = _key_of(model, model.endpoint)
    base_url = model.endpoint.base_url
    return ResilientProvider(
        REMOTE[model.provider](base_url, api_key=key),
        breaker_for(
            provider=model.provider,
            base_url=base_url,
            key=key,
            owner_id=model.endpoint.credential_id,
        ),
    )


def _key_of(model: ModelRef, endpoint: Endpoint) -> str:
    try:
        key = unseal(endpoint.sealed_key).strip() if endpoint.sealed_key else ""
    except SecretUnreadable as exc:
        raise _unusable("The provider's key cannot be read. Enter it again.", model) from exc
    if not (key.isascii() and key.isprintable()):
        raise _unusable("The provider's key contains invalid characters. Enter it again.", model)
    return key


def _unusable(text: str, model: ModelRef) -> ProviderError:
    return ProviderError(text, provider=model.provider, did_no_work=True)
