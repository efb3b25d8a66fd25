"""The project as an app, for its system checks."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        from config import system_checks  # noqa: F401, PLC0415 - registers them once apps are loaded
