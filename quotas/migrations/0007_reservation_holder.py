from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("quotas", "0006_flags_and_reading_on")]

    operations = [
        migrations.AddField(
            model_name="reservation",
            name="holder",
            field=models.UUIDField(help_text="The process that runs it, and renews its lease", null=True),
        ),
    ]
