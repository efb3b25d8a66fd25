from django.db import migrations, models


def forget_registrations(apps, schema_editor):
    """Nobody knows for whom those were made; each is made anew when it is used next."""
    apps.get_model("gateway", "EngineServer").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0008_images"),
    ]

    operations = [
        migrations.RunPython(forget_registrations, migrations.RunPython.noop),
        migrations.RemoveConstraint(model_name="engineserver", name="one_engine_server_an_account"),
        migrations.AddField(
            model_name="engineserver",
            name="user_id",
            field=models.UUIDField(help_text="In whose turns it is called", default=None),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="toolrun",
            name="server_id",
            field=models.UUIDField(help_text="None for a tool that was never offered", null=True),
        ),
        migrations.AlterField(
            model_name="toolrun",
            name="server",
            field=models.CharField(blank=True, help_text="Its slug, as people know it", max_length=60),
        ),
        migrations.AddConstraint(
            model_name="engineserver",
            constraint=models.UniqueConstraint(
                fields=("engine_account_id", "server_id", "user_id"), name="one_engine_server_a_person"
            ),
        ),
    ]
