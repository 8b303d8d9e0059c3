-- Revert topicbase:api/query_telemetry from pg
BEGIN;
DROP FUNCTION api.query_telemetry(
    uuid, text, timestamptz, timestamptz, text [], interval, integer, text [], uuid, text, text [], text, text, text [], text
);
DROP FUNCTION mqtt.find_devices(text [], text, text, uuid, uuid);
DROP FUNCTION mqtt.check_aggregates(text [], text);
DROP FUNCTION mqtt.check_telemetry_range(integer, interval, text, text []);
COMMIT;
