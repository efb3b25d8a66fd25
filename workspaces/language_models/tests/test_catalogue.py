"""The catalogue is data: whole, dated, and fit to be installed as it stands."""

from datetime import date

from workspaces.language_models.catalogue import read_catalogue
from workspaces.language_models.models import LanguageModel, ProviderCredential
from workspaces.language_models.services import check_parameters, check_url
from workspaces.slugs import MODEL_SLUGS

CATALOGUE = read_catalogue()
MODELS = [model for provider in CATALOGUE.providers for model in provider.models]
ASKED_FOR = {
    *("openai", "anthropic", "google", "mistral", "deepseek", "xai"),
    *("groq", "together", "openrouter", "ollama", "vllm", "lm-studio"),
}


def test_it_has_its_date_its_sources_and_whom_everybody_looks_for() -> None:
    assert date.fromisoformat(CATALOGUE.dated) <= date.today()
    assert all(source["url"].startswith("https://") for source in CATALOGUE.sources)
    assert {provider.slug for provider in CATALOGUE.providers} >= ASKED_FOR


def test_every_provider_can_be_asked() -> None:
    for provider in CATALOGUE.providers:
        assert provider.kind in ProviderCredential.Kind.values, provider.slug
        if provider.base_url:
            check_url(provider.base_url)
        assert provider.models or provider.wants_address, provider.slug


def test_every_model_can_be_installed() -> None:
    for model in MODELS:
        assert not MODEL_SLUGS.problem(model.slug), model.slug
        assert 0 < model.output_bound < model.context_window, model.slug
        assert set(model.abilities) <= set(LanguageModel.Ability.values), model.slug
        assert not model.prices or {"input", "output"} <= set(model.prices), model.slug
        assert all(isinstance(price, int) and price >= 0 for price in model.prices.values()), model.slug
        check_parameters(model.parameters)


def test_no_two_models_are_one() -> None:
    names = [(model.provider, model.upstream_name) for model in MODELS]
    slugs = [(model.provider, model.slug) for model in MODELS]
    assert (len(set(names)), len(set(slugs))) == (len(names), len(slugs))
