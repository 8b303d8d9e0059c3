-- Revert topicbase:bridge_mosquitto_accounts from pg
BEGIN;
DROP FUNCTION bridge.mosquitto_accounts(text);
COMMIT;
