-- Revert topicbase:ingest/require_room from pg
BEGIN;
DROP FUNCTION mqtt.require_room(uuid, text);
COMMIT;
