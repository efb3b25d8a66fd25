"""The accounts app."""

from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Imports signal receivers once apps are loaded."""
        import_module("accounts.sign_in.allauth_events")
        import_module("accounts.teams.membership_events")
