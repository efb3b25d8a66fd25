"""What a turn used of the cache and for reasoning, and what its model wants back with its tool calls."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0012_kinds_beside_chat")]

    operations = [
        migrations.AddField(
            model_name="turn",
            name="cached_tokens",
            field=models.BigIntegerField(db_default=0, default=0, help_text="Of the input"),
        ),
        migrations.AddField(
            model_name="turn",
            name="reasoning_tokens",
            field=models.BigIntegerField(db_default=0, default=0, help_text="Of the output"),
        ),
        migrations.AddField(
            model_name="turn",
            name="replayed",
            field=models.JSONField(
                db_default=[],
                default=list,
                help_text="What its model wants back with its tool calls, by their ids",
            ),
        ),
    ]
