-- Revert topicbase:api/mqtt_test_connection from pg
BEGIN;
DROP FUNCTION api.get_mqtt_request(uuid, numeric, text);
DROP FUNCTION api.mqtt_test_connection(uuid, uuid);
COMMIT;
