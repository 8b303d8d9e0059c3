-- Revert topicbase:api/mqtt_hybrid_credentials from pg
BEGIN;
DROP FUNCTION api.mqtt_hybrid_credentials(text, uuid, uuid, uuid, text, text, text, timestamptz, text);
COMMIT;
