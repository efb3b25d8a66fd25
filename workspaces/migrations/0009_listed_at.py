from django.db import migrations, models
from django.db.models import F


def note_listed(apps, schema_editor):
    """Whatever does not wait for its first sign-in was listed as it was installed."""
    servers = apps.get_model("workspaces", "MCPServer").objects.filter(waits_for_sign_in=False)
    servers.update(listed_at=F("created_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("workspaces", "0008_mcp_sign_ins"),
    ]

    operations = [
        migrations.AddField(
            model_name="mcpserver",
            name="listed_at",
            field=models.DateTimeField(
                help_text="When its tools were last seen; None: never, and all that come are allowed",
                null=True,
            ),
        ),
        migrations.RunPython(note_listed, migrations.RunPython.noop),
    ]
