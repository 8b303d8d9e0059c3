-- Verify topicbase:api/telemetry_types on pg
BEGIN;
SELECT 'mqtt.rolled_span'::regtype;
SELECT 'mqtt.telemetry_request'::regtype;
SELECT 'mqtt.telemetry_data'::regtype;
ROLLBACK;
