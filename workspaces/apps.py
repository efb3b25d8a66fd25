"""The workspaces app."""

from importlib import import_module

from django.apps import AppConfig


class WorkspacesConfig(AppConfig):
    name = "workspaces"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Imports signal receivers once apps are loaded."""
        import_module("workspaces.membership_events")
