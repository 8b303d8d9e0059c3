-- Revert topicbase:bridge/note_api_keys from pg
BEGIN;
DROP FUNCTION bridge.note_api_keys(uuid []);
COMMIT;
