-- Revert topicbase:bridge_diagnose from pg
BEGIN;
DROP FUNCTION bridge.diagnose();
DROP FUNCTION mqtt.upkeep_jobs();
DROP FUNCTION mqtt.days_without_partition();
DROP FUNCTION mqtt.surplus_privileges(name);
COMMIT;
