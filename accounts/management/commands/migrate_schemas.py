"""Migrates the public schema, the template of new tenants' schemas, and every tenant that is behind."""

from typing import Any

from django.conf import settings
from django.db import connection
from django_tenants.management.commands.migrate_schemas import MigrateSchemasCommand
from django_tenants.migration_executors import get_executor

from accounts.models import SchemaScript, Tenant
from accounts.teams.schema_template import distrust_script, store_script, version

# Options that leave some schemas, or some migrations, out.
PARTIAL = (
    *("tenant", "shared", "schema_name", "app_label", "migration_name"),
    *("fake", "fake_initial", "plan", "prune", "check_unapplied"),
)


class Command(MigrateSchemasCommand):
    """Without options only migrates schemas that lack a migration; one query finds them."""

    def handle(self, *args: Any, **options: Any) -> None:
        if any(options.get(name) for name in PARTIAL):
            self._migrate_part(*args, **options)
            return
        super().handle(*args, **{**options, "shared": True})
        self.executor_class = get_executor(codename=self.executor)
        self._migrate_template()
        behind = Tenant.objects.exclude(migrated_to=version()).order_by("created_at")
        for schema_name in list(behind.values_list("schema_name", flat=True)):
            self._migrate(schema_name)
            Tenant.objects.filter(schema_name=schema_name).update(migrated_to=version())

    def _migrate_part(self, *args: Any, **options: Any) -> None:
        """Marks all schemas as not up to date, so that the next full run checks them."""
        if "accounts_schemascript" in connection.introspection.table_names():
            Tenant.objects.exclude(migrated_to="").update(migrated_to="")
            distrust_script()
        super().handle(*args, **options)

    def _migrate_template(self) -> None:
        """Before the tenants: one created in the meantime is either up to date or found to be behind."""
        stored = SchemaScript.objects.filter(schema_name=settings.TEMPLATE_SCHEMA, version=version())
        if stored.exists():
            return
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE SCHEMA IF NOT EXISTS "{settings.TEMPLATE_SCHEMA}"')
        self._migrate(settings.TEMPLATE_SCHEMA)
        store_script()

    def _migrate(self, schema_name: str) -> None:
        self.executor_class(self.args, self.options).run_migrations(tenants=[schema_name])
