"""The project itself as an app: it carries the system checks."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        from config import system_checks  # noqa: F401, PLC0415 - they register once apps are loaded
