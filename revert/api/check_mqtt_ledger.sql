-- Revert topicbase:api/check_mqtt_ledger from pg
BEGIN;
DROP FUNCTION api.check_mqtt_ledger();
COMMIT;
