-- Revert topicbase:api/mqtt_credentials from pg
BEGIN;
DROP FUNCTION api.revoke_mqtt_credentials(uuid);
DROP FUNCTION api.rotate_mqtt_credentials(uuid, interval);
DROP FUNCTION api.get_mqtt_credentials(uuid, uuid, uuid);
COMMIT;
