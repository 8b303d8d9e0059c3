-- Revert topicbase:api/delete_messages from pg
BEGIN;
DROP FUNCTION api.delete_messages(uuid, text, text, timestamptz, timestamptz, text, uuid);
DROP FUNCTION mqtt.check_deletion(text, timestamptz, timestamptz, text, boolean);
DROP FUNCTION mqtt.book_deletion(mqtt.deletions);
COMMIT;
