"""Fills in what turns made before branches do not say: the turn each follows, and its message's id."""

from django.db import migrations

QUESTIONS = """
    UPDATE gateway_turn SET question_id = gateway_message.id FROM gateway_message
    WHERE gateway_message.turn_id = gateway_turn.id AND gateway_message.role = 'user'
"""
PREDECESSORS = """
    UPDATE gateway_turn SET previous_id = ordered.before FROM (
        SELECT id, lag(id) OVER (PARTITION BY conversation_id ORDER BY created_at, id) AS before
        FROM gateway_turn WHERE conversation_id IS NOT NULL
    ) AS ordered
    WHERE ordered.id = gateway_turn.id AND ordered.before IS NOT NULL
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0002_branches_and_engine_accounts")]
    operations = [
        migrations.RunSQL(QUESTIONS, migrations.RunSQL.noop),
        migrations.RunSQL(PREDECESSORS, migrations.RunSQL.noop),
    ]
