"""Stores what `/v1/responses` needs to continue and show a response."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0013_cached_and_reasoning_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="StoredResponse",
            fields=[
                (
                    "turn",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="stored_response",
                        serialize=False,
                        to="gateway.turn",
                    ),
                ),
                (
                    "request",
                    models.JSONField(
                        default=dict, help_text="The request's parameters, as the response shows them"
                    ),
                ),
                (
                    "input_items",
                    models.JSONField(default=list, help_text="The items of this request only, in order"),
                ),
                (
                    "input_bytes",
                    models.PositiveIntegerField(default=0, help_text="The size of the request"),
                ),
            ],
        ),
    ]
