-- Revert topicbase:api/telemetry_buckets from pg
BEGIN;
DROP FUNCTION mqtt.bucket_range(mqtt.telemetry_request, interval, text, mqtt.message_cursor, integer);
DROP FUNCTION mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer);
DROP FUNCTION mqtt.aggregates_sql(text []);
DROP FUNCTION mqtt.bucket_start(timestamptz, interval, text);
COMMIT;
