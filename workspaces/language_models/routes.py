"""Where language models and their credentials are found: in REST, and among the pages."""

from django.urls import URLPattern, path

from workspaces.language_models.api import catalogue as catalogue_api
from workspaces.language_models.api import credentials as credentials_api
from workspaces.language_models.api import models as models_api
from workspaces.language_models.api import prices as prices_api
from workspaces.language_models.pages import catalogue as catalogue_pages
from workspaces.language_models.pages import models as model_pages
from workspaces.language_models.pages import prices as price_pages
from workspaces.language_models.probe import Prober

HERE = "workspaces/<slug:workspace>"


def api(prober: Prober) -> list[URLPattern]:
    """`prober` asks providers; it stands above this package."""
    return [
        path("model-catalogue", catalogue_api.CatalogueView.as_view()),
        path(f"{HERE}/models", models_api.ModelsView.as_view(prober=prober)),
        path(f"{HERE}/models/bulk", models_api.ModelsBulkView.as_view()),
        path(f"{HERE}/models/install", catalogue_api.CatalogueInstallView.as_view(prober=prober)),
        path(f"{HERE}/models/<path:model>/test", models_api.ModelTestView.as_view(prober=prober)),
        path(f"{HERE}/models/<path:model>/prices", prices_api.ModelPricesView.as_view()),
        path(f"{HERE}/models/<path:model>", models_api.ModelView.as_view()),
        path(f"{HERE}/credentials", credentials_api.CredentialsView.as_view(prober=prober)),
        path(
            f"{HERE}/credentials/<uuid:credential_id>", credentials_api.CredentialView.as_view(prober=prober)
        ),
    ]


def pages(prober: Prober) -> list[URLPattern]:
    known = {"prober": prober}
    return [
        path("models", model_pages.models, name="models"),
        path("models/catalogue/", catalogue_pages.catalogue, name="model_catalogue"),
        path("models/catalogue/<str:provider>", catalogue_pages.install, known, name="install_models"),
        path("models/install/", model_pages.install, known, name="install_model"),
        path("models/change/", model_pages.change_models, name="change_models"),
        path("models/<path:model>/test", model_pages.test, known, name="test_model"),
        path("models/<path:model>/remove", model_pages.remove, name="uninstall_model"),
        path("models/<path:model>/price", price_pages.price, name="model_price"),
        path("models/<path:model>", model_pages.model, name="model"),
        path("credentials/<uuid:credential_id>/rotate", model_pages.rotate, known, name="rotate_credential"),
        path(
            "credentials/<uuid:credential_id>/remove", model_pages.remove_credential, name="remove_credential"
        ),
    ]
