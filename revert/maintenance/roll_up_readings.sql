-- Revert topicbase:maintenance/roll_up_readings from pg
BEGIN;
DROP FUNCTION mqtt.roll_up_readings(integer);
DROP FUNCTION mqtt.try_roll_up(uuid, bigint);
DROP FUNCTION mqtt.trim_rollups(integer);
COMMIT;
