"""What the REST routes have in common that try what they save."""

from collections.abc import Callable
from typing import Any, TypeVar

from rest_framework import serializers

from accounts.api import WorkspaceView
from kit.tenancy import tenant_scope
from workspaces.language_models.probe import Prober, save_probed
from workspaces.language_models.queries import ModelRef

T = TypeVar("T")


class TestField(serializers.BooleanField):
    """Whether the provider is asked before anything is saved."""

    def __init__(self, **kwargs: Any) -> None:
        told = "Test the connection first and save nothing if it fails; false saves without a test"
        super().__init__(required=False, default=True, help_text=told, **kwargs)


class ProbingView(WorkspaceView):
    """`prober` comes by `as_view(prober=…)`."""

    prober: Prober | None = None

    def save(self, work: Callable[[], T], *, ref: Callable[[T], ModelRef], is_tested: bool) -> T:
        """What `work` saves, after the provider was asked; leaves the tenant's schema and comes back."""
        if not is_tested or self.prober is None:
            return work()
        self.leave_tenant()
        saved = save_probed(prober=self.prober, principal=self.place, save=work, ref=ref)
        self.scope.enter_context(tenant_scope(self.place.tenant))
        return saved
