"""Nothing changes the ledger; tenants that were there before plans get the default one; our own model is free."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION refuse_change_of_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger lines are only ever added' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER ledger_only_grows BEFORE UPDATE OR DELETE ON quotas_usagerecord
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_ledger();
CREATE TRIGGER ledger_is_not_emptied BEFORE TRUNCATE ON quotas_usagerecord
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger();
"""
ALLOW = """
DROP TRIGGER ledger_only_grows ON quotas_usagerecord;
DROP TRIGGER ledger_is_not_emptied ON quotas_usagerecord;
DROP FUNCTION refuse_change_of_ledger();
"""
# A workspace's own budget of before goes on as the operator's for it, ahead of the plan's.
GIVE_PLANS = """
INSERT INTO quotas_plan (id, name, is_default, created_at)
SELECT gen_random_uuid(), 'Standard', true, now() WHERE EXISTS (SELECT 1 FROM accounts_tenant);
INSERT INTO quotas_budget (id, plan_id, set_by, level, metric, "window", "limit", soft_percent, created_at)
SELECT gen_random_uuid(), id, 'operator', 'workspace', 'tokens', 'month', 1000000, 80, now() FROM quotas_plan;
INSERT INTO quotas_tenantplan (tenant_id, plan_id, given_at)
SELECT accounts_tenant.id, quotas_plan.id, now() FROM accounts_tenant, quotas_plan;
"""
OUR_OWN = """
INSERT INTO quotas_price (id, provider, model, input, output, effective_from, created_at)
VALUES (gen_random_uuid(), 'local', 'smollm2-135m', 0, 0, '2026-01-01T00:00:00Z', now());
"""
TAKE_BACK = "DELETE FROM quotas_price WHERE provider = 'local' AND model = 'smollm2-135m'"


class Migration(migrations.Migration):
    dependencies = [("quotas", "0003_levels")]

    operations = [
        migrations.RunSQL(REFUSE, ALLOW),
        migrations.RunSQL(GIVE_PLANS, migrations.RunSQL.noop),
        migrations.RunSQL(OUR_OWN, TAKE_BACK),
    ]
