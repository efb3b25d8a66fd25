"""Counts what a deletion in several transactions has deleted so far, so that a repeated one audits the whole."""

from django.db import migrations, models


def counter() -> models.PositiveIntegerField:
    return models.PositiveIntegerField(
        default=0, editable=False, help_text="So far; the audit gets the number when all is done."
    )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0012_schema_scripts")]

    operations = [
        migrations.AddField(model_name="departure", name="conversations_deleted", field=counter()),
        migrations.AddField(model_name="workspace", name="conversations_deleted", field=counter()),
    ]
