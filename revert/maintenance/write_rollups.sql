-- Revert topicbase:maintenance/write_rollups from pg
BEGIN;
DROP FUNCTION mqtt.write_rollups(uuid, mqtt.rollup_part []);
DROP FUNCTION mqtt.write_days(uuid, uuid [], timestamptz);
DROP FUNCTION mqtt.write_minutes(uuid, mqtt.rollup_part []);
DROP FUNCTION mqtt.write_hours(uuid, mqtt.rollup_part []);
DROP FUNCTION mqtt.number_series(uuid, mqtt.rollup_part [], integer);
COMMIT;
