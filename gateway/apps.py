"""The gateway app."""

from importlib import import_module

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers what asks providers for language models, once apps are loaded."""
        import_module("gateway.calls.probe")
