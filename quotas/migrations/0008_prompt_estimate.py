from django.db import migrations, models


class Migration(migrations.Migration):
    """Holds of before have no estimate: their prompt's bound is charged, as it was."""

    dependencies = [
        ("quotas", "0007_reservation_holder"),
    ]

    operations = [
        migrations.AddField(
            model_name="hold",
            name="prompt_estimate",
            field=models.BigIntegerField(
                help_text="Charged if the provider's count never arrives; empty: the bound",
                null=True,
            ),
        ),
    ]
