-- Revert topicbase:api_mqtt_publish from pg
BEGIN;
DROP FUNCTION api.mqtt_publish(uuid, json, uuid);
DROP FUNCTION mqtt.first_json_fault(json);
COMMIT;
