"""The tokens that a turn read from a provider's cache, and those of its reasoning."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0011_reworded_help_texts")]

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
    ]
