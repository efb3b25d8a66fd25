"""The routes of language models and their credentials: in REST, and among the pages of a workspace.

A model's slug may hold slashes, so the routes below a model come before the model's own.
"""

from django.urls import URLPattern, path

from workspaces.language_models.api import catalogue as catalogue_api
from workspaces.language_models.api import credentials as credentials_api
from workspaces.language_models.api import models as models_api
from workspaces.language_models.api import prices as prices_api
from workspaces.language_models.pages import catalogue as catalogue_pages
from workspaces.language_models.pages import models as model_pages
from workspaces.language_models.pages import prices as price_pages

WORKSPACE = "workspaces/<slug:workspace>"

api: list[URLPattern] = [
    path("model-catalogue", catalogue_api.CatalogueView.as_view()),
    path(f"{WORKSPACE}/models", models_api.ModelsView.as_view()),
    path(f"{WORKSPACE}/models/bulk", models_api.ModelsBulkView.as_view()),
    path(f"{WORKSPACE}/models/install", catalogue_api.CatalogueInstallView.as_view()),
    path(f"{WORKSPACE}/models/<path:model>/test", models_api.ModelTestView.as_view()),
    path(f"{WORKSPACE}/models/<path:model>/prices", prices_api.ModelPricesView.as_view()),
    path(f"{WORKSPACE}/models/<path:model>", models_api.ModelView.as_view()),
    path(f"{WORKSPACE}/credentials", credentials_api.CredentialsView.as_view()),
    path(f"{WORKSPACE}/credentials/<uuid:credential_id>", credentials_api.CredentialView.as_view()),
]

pages: list[URLPattern] = [
    path("models", model_pages.models, name="models"),
    path("models/catalogue/", catalogue_pages.catalogue, name="model_catalogue"),
    path("models/catalogue/<str:provider>", catalogue_pages.install, name="install_models"),
    path("models/install/", model_pages.install, name="install_model"),
    path("models/change/", model_pages.change_models, name="change_models"),
    path("models/<path:model>/test", model_pages.test, name="test_model"),
    path("models/<path:model>/remove", model_pages.remove, name="uninstall_model"),
    path("models/<path:model>/price", price_pages.price, name="model_price"),
    path("models/<path:model>", model_pages.model, name="model"),
    path("credentials/<uuid:credential_id>/rotate", model_pages.rotate, name="rotate_credential"),
    path("credentials/<uuid:credential_id>/remove", model_pages.remove_credential, name="remove_credential"),
]
