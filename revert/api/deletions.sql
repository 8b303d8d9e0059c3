-- Revert topicbase:api/deletions from pg
BEGIN;
DROP FUNCTION api.list_deletions(uuid, integer);
DROP FUNCTION api.get_deletion(uuid);
DROP FUNCTION mqtt.deletion_json(mqtt.deletions);
COMMIT;
