"""What the REST routes have in common that try what they save."""

from collections.abc import Callable
from typing import Any, TypeVar

from rest_framework import serializers

from accounts.api import WorkspaceView
from kit.tenancy import tenant_scope
from workspaces.language_models.probe import save_probed
from workspaces.language_models.queries import ModelRef

T = TypeVar("T")


class TestField(serializers.BooleanField):
    """Whether the provider is asked before anything is saved."""

    def __init__(self, **kwargs: Any) -> None:
        told = "Ask the provider first, and keep nothing where it refuses; false saves it unseen"
        super().__init__(required=False, default=True, help_text=told, **kwargs)


class ProbingView(WorkspaceView):
    """A view that asks the provider before it saves."""

    def save(self, work: Callable[[], T], *, ref: Callable[[T], ModelRef], is_tested: bool) -> T:
        """What `work` saves, after the provider was asked; leaves the tenant's schema and comes back."""
        if not is_tested:
            return work()
        self.release_connection()
        saved = save_probed(principal=self.place, save=work, ref=ref)
        self.scope.enter_context(tenant_scope(self.place.tenant))
        return saved
