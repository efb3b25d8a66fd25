from django.db import migrations, models
from django.db.models.functions import Lower

# A removed model's own prices would be the next model's with its slug.
FORGET_PRICES = """
    DELETE FROM quotas_price AS price USING workspaces_retiredslug AS retired
    WHERE price.workspace_id = retired.workspace_id AND price.model = retired.slug AND NOT EXISTS (
        SELECT 1 FROM workspaces_languagemodel AS installed
        WHERE installed.workspace_id = retired.workspace_id AND installed.slug = retired.slug)
"""


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0008_prompt_estimate"),
        ("workspaces", "0011_wanted_scopes"),
    ]

    operations = [
        migrations.RunSQL(FORGET_PRICES, migrations.RunSQL.noop),
        migrations.DeleteModel(name="RetiredSlug"),
        migrations.RemoveConstraint(model_name="languagemodel", name="one_model_a_slug"),
        migrations.AddConstraint(
            model_name="languagemodel",
            constraint=models.UniqueConstraint("workspace_id", Lower("slug"), name="one_model_a_slug"),
        ),
        migrations.RemoveConstraint(model_name="mcpserver", name="one_mcp_server_a_slug"),
        migrations.AddConstraint(
            model_name="mcpserver",
            constraint=models.UniqueConstraint(
                condition=models.Q(("removed_at", None)),
                fields=("workspace_id", "slug"),
                name="one_mcp_server_a_slug",
            ),
        ),
        migrations.RemoveConstraint(model_name="prompt", name="one_prompt_a_slug"),
        migrations.AddConstraint(
            model_name="prompt",
            constraint=models.UniqueConstraint(
                condition=models.Q(("removed_at", None)),
                fields=("workspace_id", "slug"),
                name="one_prompt_a_slug",
            ),
        ),
    ]
