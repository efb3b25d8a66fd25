"""Migrates the public schema, the template that new tenants are cloned from, and every tenant."""

from typing import Any

from django.conf import settings
from django.db import connection
from django_tenants.clone import CLONE_SCHEMA_FUNCTION
from django_tenants.management.commands.migrate_schemas import MigrateSchemasCommand
from django_tenants.migration_executors import get_executor


class Command(MigrateSchemasCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        whole = not (options.get("tenant") or options.get("shared") or options.get("schema_name"))
        super().handle(*args, **options)
        if whole:
            self._install_clone_function()
            self._migrate_template()

    def _install_clone_function(self) -> None:
        """Once here rather than at each sign-up: replacing a function while others use it fails."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regproc('public.clone_schema') IS NULL")
            if cursor.fetchone()[0]:
                cursor.execute("SELECT current_user")
                cursor.execute(CLONE_SCHEMA_FUNCTION.format(db_user=cursor.fetchone()[0]))

    def _migrate_template(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE SCHEMA IF NOT EXISTS "{settings.TEMPLATE_SCHEMA}"')
        executor = get_executor(codename=self.executor)(self.args, self.options)
        executor.run_migrations(tenants=[settings.TEMPLATE_SCHEMA])
