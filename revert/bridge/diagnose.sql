-- Revert topicbase:bridge/diagnose from pg
BEGIN;
DROP FUNCTION bridge.diagnose();
DROP FUNCTION mqtt.rollup_state();
DROP FUNCTION mqtt.archive_state();
DROP FUNCTION mqtt.present_functions();
DROP FUNCTION mqtt.deployed_changes();
DROP FUNCTION mqtt.maintenance_jobs();
DROP FUNCTION mqtt.days_without_partition();
DROP FUNCTION mqtt.surplus_privileges(name);
DO $$
BEGIN
    IF to_regclass('sqitch.changes') IS NOT NULL THEN
        REVOKE SELECT (project, change, script_hash, committed_at) ON sqitch.changes FROM mqtt_owner;
        REVOKE USAGE ON SCHEMA sqitch FROM mqtt_owner;
    END IF;
END;
$$;
COMMIT;
