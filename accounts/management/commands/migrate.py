"""`manage.py migrate` migrates every schema."""

from accounts.management.commands.migrate_schemas import Command

__all__ = ["Command"]
