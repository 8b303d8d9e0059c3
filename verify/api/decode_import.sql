-- Verify topicbase:api/decode_import on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.decode_import(mqtt.device_integrations, jsonb, text [])', true, 'v', '{}');
ROLLBACK;
