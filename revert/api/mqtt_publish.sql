-- Revert topicbase:api/mqtt_publish from pg
BEGIN;
DROP FUNCTION api.mqtt_publish(uuid, json, uuid);
COMMIT;
