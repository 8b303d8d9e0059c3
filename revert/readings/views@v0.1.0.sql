-- Revert topicbase:readings/views from pg
BEGIN;
REVOKE EXECUTE ON FUNCTION mqtt.metric_number(jsonb) FROM topicbase_reader;
DROP VIEW readings.latest;
DROP FUNCTION mqtt.reader_latest(jsonb, jsonb, timestamptz, boolean);
DROP VIEW readings.devices;
COMMIT;
