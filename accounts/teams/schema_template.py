"""The template schema: which migrations it has, and the script that new tenants' schemas are created from."""

import hashlib

from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from accounts.models import SchemaScript
from accounts.teams.schema_script import read_script


def version() -> str:
    """A digest of the migrations on disk: a schema with this version needs none of them."""
    names = sorted(f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def template_script() -> SchemaScript:
    """The stored script, which `migrate` keeps up to date."""
    return SchemaScript.objects.get(schema_name=settings.TEMPLATE_SCHEMA)


def distrust_script() -> None:
    """The next `migrate` looks at the template again, and at the tenants created in the meantime."""
    SchemaScript.objects.filter(schema_name=settings.TEMPLATE_SCHEMA).update(version="")


def store_script() -> None:
    """Reads the migrated template, for all tenants to come."""
    SchemaScript.objects.update_or_create(
        schema_name=settings.TEMPLATE_SCHEMA,
        defaults={"script": read_script(settings.TEMPLATE_SCHEMA), "version": version()},
    )
