-- Revert topicbase:api/explain_mqtt_access from pg
BEGIN;
DROP FUNCTION api.explain_mqtt_access(uuid, text, text);
COMMIT;
