import django.contrib.postgres.fields
from django.db import migrations, models


def give_tools(apps, schema_editor):
    """Models of providers could be sent tools before there was a word for it."""
    apps.get_model("workspaces", "LanguageModel").objects.exclude(provider="local").update(
        abilities=["tools"]
    )


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0002_provider_credentials")]

    operations = [
        migrations.AddField(
            model_name="languagemodel",
            name="abilities",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[("tools", "Tools"), ("images", "Images"), ("reasoning", "Reasoning")],
                    max_length=20,
                ),
                blank=True,
                default=list,
                help_text="What it can",
                size=None,
            ),
        ),
        migrations.AddConstraint(
            model_name="languagemodel",
            constraint=models.CheckConstraint(
                condition=models.Q(("abilities__contained_by", ["tools", "images", "reasoning"])),
                name="abilities_are_known",
            ),
        ),
        migrations.RunPython(give_tools, migrations.RunPython.noop),
    ]
