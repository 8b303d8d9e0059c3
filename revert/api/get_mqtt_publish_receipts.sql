-- Revert topicbase:api/get_mqtt_publish_receipts from pg
BEGIN;
DROP FUNCTION api.get_mqtt_publish_receipts(uuid [], numeric);
DROP FUNCTION mqtt.publish_receipts(uuid []);
DROP FUNCTION mqtt.receipts_in_queue(uuid []);
DROP FUNCTION mqtt.check_wait(numeric);
DROP FUNCTION mqtt.may_wait(uuid);
COMMIT;
