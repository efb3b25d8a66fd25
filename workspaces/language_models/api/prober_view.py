"""The base of the REST views whose services ask a provider."""

from accounts.api import WorkspaceView
from workspaces.language_models.probe import Prober


class ProberView(WorkspaceView):
    prober: Prober | None = None  # set by `as_view(prober=…)`
