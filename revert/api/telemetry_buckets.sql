-- Revert topicbase:api/telemetry_buckets from pg
BEGIN;
DROP FUNCTION mqtt.bucket_range(mqtt.telemetry_request, interval, text, mqtt.message_cursor, integer);
DROP FUNCTION mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer);
DROP FUNCTION mqtt.bucket_summaries_sql(text [], boolean);
DROP FUNCTION mqtt.percentiles_sql(text []);
DROP FUNCTION mqtt.percentile(text);
DROP FUNCTION mqtt.aggregate_sql(text);
COMMIT;
