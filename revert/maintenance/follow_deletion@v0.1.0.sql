-- Revert topicbase:maintenance/follow_deletion from pg
BEGIN;
DROP FUNCTION mqtt.refresh_latest(mqtt.deletions, uuid);
DROP FUNCTION mqtt.has_measured(mqtt.devices, timestamptz, text, jsonb);
DROP FUNCTION mqtt.recent_readings(mqtt.devices, integer);
DROP FUNCTION mqtt.may_be_deleted(mqtt.deletions, timestamptz);
DROP FUNCTION mqtt.delete_rollups_within(mqtt.deletions, uuid, integer);
DROP FUNCTION mqtt.remake_rollups(mqtt.deletions, mqtt.deleted_row []);
DROP FUNCTION mqtt.delete_traces(uuid, mqtt.deleted_row []);
COMMIT;
