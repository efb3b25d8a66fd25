from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0010_families_refusals_founders"),
    ]

    operations = [
        migrations.CreateModel(
            name="InvitationMail",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("tenant_id", models.UUIDField(editable=False)),
                ("recipient_hash", models.CharField(editable=False, max_length=64)),
                ("sent_at", models.DateTimeField(editable=False)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant_id", "sent_at"], name="invitation_mail_tenant"),
                    models.Index(fields=["recipient_hash", "sent_at"], name="invitation_mail_recipient"),
                    models.Index(fields=["sent_at"], name="invitation_mail_sent"),
                ],
            },
        ),
        migrations.AddField(
            model_name="apikey",
            name="revoked_in_recovery",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                help_text="Revoked because its owner's account was recovered by email",
            ),
        ),
    ]
