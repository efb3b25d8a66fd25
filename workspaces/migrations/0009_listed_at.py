from django.db import migrations, models
from django.db.models import F


def note_listed(apps, schema_editor):
    """Whatever was looked at and does not wait for its first sign-in was listed."""
    looked_at = {"waits_for_sign_in": False, "checked_at__isnull": False}
    servers = apps.get_model("workspaces", "MCPServer").objects.filter(**looked_at)
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
        migrations.AddField(
            model_name="tool",
            name="is_new",
            field=models.BooleanField(
                default=False,
                help_text="Came after the others, and nobody has said yet whether it may be used",
            ),
        ),
    ]
