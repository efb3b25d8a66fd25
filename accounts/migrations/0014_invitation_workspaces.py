"""Names the workspaces of an invitation by what they are; the table and its rows stay as they are."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0013_deletions_are_counted")]

    operations = [
        migrations.AlterModelTable(name="invitationplace", table="accounts_invitationplace"),
        migrations.RenameModel(old_name="InvitationPlace", new_name="InvitationWorkspace"),
        migrations.AlterField(
            model_name="invitationworkspace",
            name="invitation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="workspaces",
                to="accounts.invitation",
            ),
        ),
    ]
