"""Where language models and their credentials are found: in REST, and among the pages."""

from django.urls import URLPattern, path

from workspaces.language_models import api as rest
from workspaces.language_models import catalogue_api, catalogue_pages, credentials_api, prices_api
from workspaces.language_models import pages as web
from workspaces.language_models.probing import Prober
from workspaces.web import prices

HERE = "workspaces/<slug:workspace>"


def api(prober: Prober) -> list[URLPattern]:
    """`prober` asks providers; it stands above this package."""
    return [
        path("model-catalogue", catalogue_api.CatalogueView.as_view()),
        path(f"{HERE}/models", rest.ModelsView.as_view(prober=prober)),
        path(f"{HERE}/models/bulk", rest.ModelsBulkView.as_view()),
        path(f"{HERE}/models/install", catalogue_api.CatalogueInstallView.as_view(prober=prober)),
        path(f"{HERE}/models/<str:model>", rest.ModelView.as_view()),
        path(f"{HERE}/models/<str:model>/test", rest.ModelTestView.as_view(prober=prober)),
        path(f"{HERE}/models/<str:model>/prices", prices_api.ModelPricesView.as_view()),
        path(f"{HERE}/credentials", credentials_api.CredentialsView.as_view(prober=prober)),
        path(
            f"{HERE}/credentials/<uuid:credential_id>", credentials_api.CredentialView.as_view(prober=prober)
        ),
    ]


def pages(prober: Prober) -> list[URLPattern]:
    known = {"prober": prober}
    return [
        path("models", web.models, name="models"),
        path("models/catalogue/", catalogue_pages.catalogue, name="model_catalogue"),
        path("models/catalogue/<str:provider>", catalogue_pages.install, known, name="install_models"),
        path("models/install/", web.install, known, name="install_model"),
        path("models/change/", web.change_models, name="change_models"),
        path("models/<str:model>", web.model, name="model"),
        path("models/<str:model>/test", web.test, known, name="test_model"),
        path("models/<str:model>/remove", web.remove, name="uninstall_model"),
        path("models/<str:model>/price", prices.price, name="model_price"),
        path("credentials/<uuid:credential_id>/rotate", web.rotate, known, name="rotate_credential"),
        path("credentials/<uuid:credential_id>/remove", web.remove_credential, name="remove_credential"),
    ]
