"""URLs of the pages of a workspace."""

from typing import Any

from django.urls import reverse

from accounts.principals import Principal


def page_url(principal: Principal, name: str, **kwargs: Any) -> str:
    """The URL of the page called `name` in the principal's workspace."""
    slugs = {"tenant": principal.tenant.slug, "workspace": principal.workspace.slug}
    return reverse(name, kwargs={**slugs, **kwargs})
