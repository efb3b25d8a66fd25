"""Where the pages of a workspace are."""

from typing import Any

from django.urls import reverse

from accounts.principals import Principal


def place_url(principal: Principal, name: str, **kwargs: Any) -> str:
    """The address of a page in the principal's workspace."""
    place = {"tenant": principal.tenant.slug, "workspace": principal.workspace.slug}
    return reverse(name, kwargs={**place, **kwargs})
