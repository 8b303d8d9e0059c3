-- Revert topicbase:api/telemetry_parts from pg
BEGIN;
DROP FUNCTION mqtt.telemetry_parts(mqtt.telemetry_request, interval, text, boolean);
DROP FUNCTION mqtt.unrolled_parts(mqtt.rolled_span [], mqtt.reading_span [], text [], interval, text);
DROP FUNCTION mqtt.received_parts(mqtt.telemetry_request, interval, text);
DROP FUNCTION mqtt.telemetry_numbers(mqtt.telemetry_request);
COMMIT;
