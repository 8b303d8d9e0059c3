-- Revert topicbase:maintenance/roll_up_readings from pg
BEGIN;
DROP FUNCTION mqtt.roll_up_readings(integer);
DROP FUNCTION mqtt.trim_rollups(integer);
DROP FUNCTION mqtt.try_organization(text, uuid, bigint);
DROP FUNCTION mqtt.trim_rollups_of(uuid, bigint);
DROP FUNCTION mqtt.rollup_terms();
COMMIT;
