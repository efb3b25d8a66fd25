"""An operator in the admin, for the tests of every app."""

from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User

PASSWORD = "an operator's long password"


def operator() -> User:
    known = User.objects.filter(email="op@example.com").first()
    return known or User.objects.create_superuser("op@example.com", PASSWORD)


def desk(user: User | None = None, *, tenant: str | None = None) -> Client:
    """A signed-in browser; with `tenant`, that tenant is opened in the admin."""
    client = Client()
    client.force_login(user or operator())
    if tenant is not None:
        client.get("/admin/", {"_tenant": tenant})
    return client


def address(model: Any, page: str, *args: Any) -> str:
    """The URL of a model's page in the admin."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def fields_of(page: Any) -> dict[str, Any]:
    """What a browser sends back for an untouched change page."""
    forms = [page.context["adminform"].form]
    for inline in page.context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    values = {field.html_name: field.value() for form in forms for field in form}
    return {name: _sent(value) for name, value in values.items() if value is not None and value is not False}


def queries_of(client: Client, path: str) -> list[str]:
    """The SQL that a page needs, when it is asked for again: the first visit of a session is noted.

    Without the lookups of content types: whichever thread enters a schema empties their cache for all.
    """
    client.get(path)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    statements = [query["sql"] for query in queries.captured_queries]
    return [sql for sql in statements if not sql.startswith("SET ") and "django_content_type" not in sql]


def _sent(value: Any) -> Any:
    if value is True:
        return "on"
    return [str(getattr(item, "pk", item)) for item in value] if isinstance(value, list) else str(value)
