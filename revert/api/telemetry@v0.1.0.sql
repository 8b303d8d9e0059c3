-- Revert topicbase:api/telemetry from pg
BEGIN;
DROP FUNCTION mqtt.telemetry(mqtt.telemetry_request);
DROP FUNCTION mqtt.newest_since(mqtt.telemetry_request, integer);
DROP FUNCTION mqtt.telemetry_by_received(mqtt.telemetry_request);
DROP FUNCTION mqtt.telemetry_by_measured(mqtt.telemetry_request);
DROP FUNCTION mqtt.topics_of_devices(mqtt.telemetry_request);
DROP FUNCTION mqtt.telemetry_metrics(jsonb, text []);
COMMIT;
