-- Revert topicbase:maintenance/roll_up_organization from pg
BEGIN;
DROP FUNCTION mqtt.roll_up_organization(uuid, bigint);
DROP FUNCTION mqtt.correct_late_readings(mqtt.rollup_progress, bigint);
DROP FUNCTION mqtt.correct_rollups(mqtt.rollup_progress, uuid, timestamptz);
DROP FUNCTION mqtt.roll_up_devices(uuid, uuid [], timestamptz, timestamptz);
COMMIT;
