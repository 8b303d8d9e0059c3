-- Revert topicbase:api_check_mqtt_ledger from pg
BEGIN;
DROP FUNCTION api.check_mqtt_ledger();
DROP FUNCTION mqtt.check_ledger(boolean);
COMMIT;
