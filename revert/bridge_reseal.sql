-- Revert topicbase:bridge_reseal from pg
BEGIN;
DROP FUNCTION bridge.replace_sealed_secret(text, uuid, text, text);
DROP FUNCTION bridge.sealed_secrets();
COMMIT;
