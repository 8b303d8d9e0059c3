-- Revert topicbase:api/query_telemetry from pg
BEGIN;
DROP FUNCTION api.query_telemetry(
    uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text, text [], text, text, text [], text
);
DROP FUNCTION mqtt.find_devices(text [], text, text, uuid, uuid);
DROP FUNCTION mqtt.bucket_range(mqtt.telemetry_request, interval, text, mqtt.message_cursor, integer);
DROP FUNCTION mqtt.telemetry_buckets(mqtt.telemetry_request, interval, text, text [], mqtt.message_cursor, integer);
DROP FUNCTION mqtt.aggregates_sql(text []);
DROP FUNCTION mqtt.bucket_start(timestamptz, interval, text);
DROP FUNCTION mqtt.check_aggregates(text [], text);
DROP FUNCTION mqtt.check_telemetry_range(integer, interval, text, text []);
DROP FUNCTION mqtt.telemetry(mqtt.telemetry_request);
DROP FUNCTION mqtt.telemetry_by_received(mqtt.telemetry_request);
DROP FUNCTION mqtt.telemetry_by_measured(mqtt.telemetry_request);
DROP FUNCTION mqtt.has_metric(jsonb, text []);
DROP FUNCTION mqtt.telemetry_metrics(jsonb, text []);
COMMIT;
