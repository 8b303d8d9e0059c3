-- Revert topicbase:publish/require_open_queue from pg
BEGIN;
DROP FUNCTION mqtt.require_open_queue(uuid, text);
COMMIT;
