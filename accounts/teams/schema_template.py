"""The template schema: its migrations, and the script that creates new tenants' schemas."""

import hashlib

from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from accounts.models import SchemaScript
from accounts.teams.schema_script import read_script


def version() -> str:
    """A digest of the migrations on disk; a schema with this version has all of them."""
    names = sorted(f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def template_script() -> SchemaScript:
    """The stored script, which `migrate` keeps up to date."""
    return SchemaScript.objects.get(schema_name=settings.TEMPLATE_SCHEMA)


def distrust_script() -> None:
    """Makes the next `migrate` check the template again, and the tenants created in the meantime."""
    SchemaScript.objects.filter(schema_name=settings.TEMPLATE_SCHEMA).update(version="")


def store_script() -> None:
    """Reads the migrated template, for new tenants."""
    SchemaScript.objects.update_or_create(
        schema_name=settings.TEMPLATE_SCHEMA,
        defaults={"script": read_script(settings.TEMPLATE_SCHEMA), "version": version()},
    )
