-- Revert topicbase:api/telemetry_types from pg
BEGIN;
DROP TYPE mqtt.rolled_span;
DROP TYPE mqtt.telemetry_data;
DROP TYPE mqtt.telemetry_request;
COMMIT;
