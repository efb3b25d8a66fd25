from django.db import migrations, models

from workspaces.mcp_servers.addresses import kept_url


def hide_keys(apps, schema_editor):
    """Addresses that hold a key are sealed; of removed servers nothing is kept but what may be shown."""
    rows = apps.get_model("workspaces", "MCPServer").objects.all()
    for row in rows.iterator(200):
        kept = kept_url(row.url)
        if kept["url"] != row.url:
            sealed = "" if row.removed_at else kept["sealed_url"]
            rows.filter(id=row.id).update(url=kept["url"], sealed_url=sealed)


class Migration(migrations.Migration):
    dependencies = [
        ("workspaces", "0009_listed_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="mcpserver",
            name="sealed_url",
            field=models.TextField(
                blank=True,
                default="",
                help_text="The whole address, encrypted; empty where nothing in it is hidden",
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="mcpserver",
            name="url",
            field=models.CharField(
                help_text="Its address, without the keys that may stand in it", max_length=500
            ),
        ),
        migrations.RunPython(hide_keys, migrations.RunPython.noop),
    ]
