-- Revert topicbase:api/rolled_parts from pg
BEGIN;
DROP FUNCTION mqtt.late_spans(mqtt.rolled_span [], boolean);
DROP FUNCTION mqtt.rolled_parts(mqtt.rolled_span [], mqtt.reading_span [], text []);
DROP FUNCTION mqtt.rolled_spans(mqtt.telemetry_request, interval);
DROP FUNCTION mqtt.bucket_grain(interval, text, timestamptz, timestamptz);
COMMIT;
