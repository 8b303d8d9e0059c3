-- Revert topicbase:api/decode_import from pg
BEGIN;
DROP FUNCTION mqtt.decode_import(mqtt.device_integrations, jsonb, text []);
COMMIT;
