from django.db import migrations, models


class Migration(migrations.Migration):
    """A removed model's slug can be another's: the ledger says which model it was. Older lines do not."""

    dependencies = [
        ("quotas", "0008_prompt_estimate"),
    ]

    operations = [
        migrations.AddField(
            model_name="hold",
            name="model_id",
            field=models.UUIDField(help_text="Which model had that slug", null=True),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="model_id",
            field=models.UUIDField(
                help_text="Which model had that slug; empty: before ids were stored", null=True
            ),
        ),
    ]
