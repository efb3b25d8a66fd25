"""Tenants that exist get their oldest open workspace as the default one."""

from django.db import migrations

OLDEST = """
UPDATE accounts_tenant SET default_workspace_id = (
    SELECT id FROM accounts_workspace WHERE tenant_id = accounts_tenant.id AND archived_at IS NULL
    ORDER BY created_at, id LIMIT 1
)
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_audit_only_grows")]

    operations = [migrations.RunSQL(OLDEST, migrations.RunSQL.noop)]
