-- Revert topicbase:api/delete_mqtt_credentials from pg
BEGIN;
DROP FUNCTION api.delete_mqtt_credentials(uuid, uuid, timestamptz, integer);
COMMIT;
