-- Revert topicbase:api/get_mqtt_ledger from pg
BEGIN;
DROP FUNCTION api.get_mqtt_ledger(uuid, timestamptz, timestamptz, text);
COMMIT;
