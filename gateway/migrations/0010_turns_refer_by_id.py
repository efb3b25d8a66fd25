from django.db import migrations, models

# Up to now no slug was ever used twice. Of ended turns only the tools of the shown path are read again.
NAME_MODELS = """
    UPDATE gateway_turn AS turn SET model_id = model.id FROM workspaces_languagemodel AS model
    WHERE turn.status = 'running' AND model.workspace_id = turn.workspace_id AND model.slug = turn.model
"""
NAME_SERVERS = """
    UPDATE gateway_turn AS turn SET parameters = turn.parameters || jsonb_build_object('mcp_ids', (
        SELECT coalesce(jsonb_agg(server.id), '[]') FROM workspaces_mcpserver AS server
        WHERE server.workspace_id = turn.workspace_id AND server.removed_at IS NULL
          AND turn.parameters -> 'mcps' ? server.slug))
    WHERE turn.is_current AND turn.parameters ? 'mcps'
"""


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0009_whose_tool_calls"),
        ("workspaces", "0011_wanted_scopes"),
    ]

    operations = [
        migrations.AddField(
            model_name="turn",
            name="model_id",
            field=models.UUIDField(
                help_text="Which model had that slug as the turn began; empty: before ids were stored",
                null=True,
            ),
        ),
        migrations.RunSQL(NAME_MODELS, migrations.RunSQL.noop),
        migrations.RunSQL(NAME_SERVERS, migrations.RunSQL.noop),
    ]
