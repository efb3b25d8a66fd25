"""What language models declare as a kind."""

from workspaces.kind import Kind, RailEntry, Table
from workspaces.language_models import routes
from workspaces.language_models.admin import LanguageModelAdmin, ProviderCredentialAdmin
from workspaces.language_models.models import LanguageModel, ProviderCredential

KIND = Kind(
    name="models",
    rail=RailEntry(label="Models", icon="cube", position=20, url_name="models"),
    api=routes.api,
    pages=routes.pages,
    tables=(Table(LanguageModel), Table(ProviderCredential, sealed=("sealed_key",))),
    admin={LanguageModel: LanguageModelAdmin, ProviderCredential: ProviderCredentialAdmin},
    secrets="providers' credentials",
)
