"""The catalogue is complete and dated, and each of its models can be installed."""

from datetime import date

from workspaces.language_models.catalogue import read_catalogue
from workspaces.language_models.credential_services import check_url
from workspaces.language_models.inputs import Parameters
from workspaces.language_models.models import LanguageModel, ProviderCredential
from workspaces.slugs import MODEL_SLUGS

CATALOGUE = read_catalogue()
MODELS = [model for provider in CATALOGUE.providers for model in provider.models]
COMMON = {
    *("openai", "anthropic", "google", "mistral", "deepseek", "xai"),
    *("groq", "together", "openrouter", "ollama", "vllm", "lm-studio"),
}


def test_it_has_a_date_sources_and_the_common_providers() -> None:
    assert date.fromisoformat(CATALOGUE.dated) <= date.today()
    assert all(source["url"].startswith("https://") for source in CATALOGUE.sources)
    assert {provider.slug for provider in CATALOGUE.providers} >= COMMON


def test_every_provider_has_an_address_and_models_or_asks_for_them() -> None:
    for provider in CATALOGUE.providers:
        assert provider.kind in ProviderCredential.Kind.values, provider.slug
        if provider.base_url:
            check_url(provider.base_url)
        assert provider.models or provider.wants_address, provider.slug


def test_every_model_can_be_installed() -> None:
    for model in MODELS:
        assert not MODEL_SLUGS.problem(model.slug), model.slug
        is_chat = model.kind == LanguageModel.Kind.CHAT
        outputs = range(1, model.context_window) if is_chat else (0,)
        assert model.output_bound in outputs, model.slug
        assert model.kind in LanguageModel.Kind.values, model.slug
        assert set(model.abilities) <= set(LanguageModel.Ability.values), model.slug
        assert not model.prices or {"input", "output"} <= set(model.prices), model.slug
        assert all(isinstance(price, int) and price >= 0 for price in model.prices.values()), model.slug
        Parameters(**model.parameters).check()


def test_no_model_is_listed_twice() -> None:
    names = [(model.provider, model.upstream_name) for model in MODELS]
    slugs = [(model.provider, model.slug) for model in MODELS]
    assert (len(set(names)), len(set(slugs))) == (len(names), len(slugs))
