from django.db import migrations, models


class Migration(migrations.Migration):
    """Lines and sums of before have no flag; their overruns stay on their holds."""

    dependencies = [
        ("quotas", "0005_purpose_test"),
    ]

    operations = [
        migrations.AddField(
            model_name="hold",
            name="read_on_until",
            field=models.DateTimeField(
                help_text=(
                    "Its reader has left, and the reply is read on for the provider's count until then"
                ),
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="usageday",
            name="flagged_calls",
            field=models.BigIntegerField(db_default=0, default=0, help_text="Whose line has a flag"),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="flag",
            field=models.CharField(
                blank=True,
                choices=[
                    ("overrun", "More than was held"),
                    ("implausible", "The provider's count cannot be true"),
                    ("cut_off", "The reply ran far beyond its bound"),
                ],
                db_default="",
                default="",
                max_length=12,
            ),
        ),
    ]
