-- Revert topicbase:bridge/mosquitto_accounts from pg
BEGIN;
DROP FUNCTION bridge.mosquitto_accounts(text);
COMMIT;
