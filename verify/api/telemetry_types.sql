-- Verify topicbase:api/telemetry_types on pg
BEGIN;
SELECT 'mqtt.telemetry_request'::regtype;
SELECT 'mqtt.telemetry_data'::regtype;
ROLLBACK;
