-- Revert topicbase:api/query_telemetry from pg
BEGIN;
DROP FUNCTION api.query_telemetry(uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text);
DROP FUNCTION mqtt.telemetry_buckets(uuid, uuid, uuid, timestamptz, timestamptz, text [], text [], interval, integer);
DROP FUNCTION mqtt.check_telemetry_range(integer, interval);
DROP FUNCTION mqtt.telemetry(uuid, uuid, uuid, timestamptz, timestamptz, text [], text [], integer);
DROP FUNCTION mqtt.has_metric(jsonb, text []);
DROP FUNCTION mqtt.telemetry_metrics(jsonb, text []);
COMMIT;
