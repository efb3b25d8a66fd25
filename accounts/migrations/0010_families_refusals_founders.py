"""Ended families of tokens, counted refusals, and who founded a team from where."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_time_zones"),
    ]

    operations = [
        migrations.CreateModel(
            name="EndedFamily",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("ended_at", models.DateTimeField(auto_now_add=True, db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="Refusal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "key",
                    models.CharField(help_text="Digest of tenant, person, action and code", max_length=64),
                ),
                ("minute", models.DateTimeField(help_text="When it began")),
                ("repeats", models.PositiveIntegerField(default=0, help_text="Beyond the first")),
                ("entry", models.JSONField(help_text="What the first one's audit entry says")),
                ("workspace_id", models.UUIDField(help_text="Empty once they were in several", null=True)),
                (
                    "target",
                    models.CharField(blank=True, help_text="Empty once they had several", max_length=200),
                ),
            ],
        ),
        migrations.AddField(
            model_name="auditentry",
            name="count",
            field=models.PositiveIntegerField(
                db_default=1, default=1, help_text="How often: refusals that repeat are one entry a minute"
            ),
        ),
        migrations.CreateModel(
            name="Founding",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("network", models.CharField(help_text="As kit.networks names it", max_length=64)),
                ("at", models.DateTimeField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["network", "-at"], name="founding_network"),
                    models.Index(fields=["at"], name="founding_at"),
                ],
            },
        ),
        migrations.AddField(
            model_name="tenant",
            name="founder_id",
            field=models.UUIDField(
                db_index=True, editable=False, help_text="Who opened it for themselves", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="refusal",
            index=models.Index(fields=["minute"], name="refusal_minute"),
        ),
        migrations.AddConstraint(
            model_name="refusal",
            constraint=models.UniqueConstraint(fields=("key", "minute"), name="one_refusal_count_a_minute"),
        ),
    ]
