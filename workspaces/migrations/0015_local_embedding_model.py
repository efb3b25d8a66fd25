"""Gives each workspace that has the built-in chat model the built-in embedding model as well."""

from django.db import migrations

# It is enabled for the same people. A workspace that already uses the slug keeps its own model.
ADD = """
    INSERT INTO workspaces_languagemodel (
        id, workspace_id, slug, name, kind, provider, upstream_name, context_window, output_bound, abilities,
        enabled, parameters, access, created_at)
    SELECT gen_random_uuid(), workspace_id, 'local-embedding', 'MiniLM L6', 'embedding', 'local',
           'all-minilm-l6-v2', 512, 0, '{}', enabled, '{}', access, now()
    FROM workspaces_languagemodel AS chat
    WHERE provider = 'local' AND kind = 'chat' AND NOT EXISTS (
        SELECT 1 FROM workspaces_languagemodel AS other
        WHERE other.workspace_id = chat.workspace_id AND lower(other.slug) = 'local-embedding')
"""
REMOVE = "DELETE FROM workspaces_languagemodel WHERE provider = 'local' AND kind = 'embedding'"


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0014_model_kinds")]

    operations = [migrations.RunSQL(ADD, REMOVE)]
