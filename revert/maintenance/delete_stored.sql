-- Revert topicbase:maintenance/delete_stored from pg
BEGIN;
DROP FUNCTION mqtt.delete_queued(uuid, integer);
DROP FUNCTION mqtt.is_queued_before(uuid, timestamptz);
DROP FUNCTION mqtt.delete_dead_letters(mqtt.deletions, regclass, integer);
DROP FUNCTION mqtt.delete_stored(mqtt.deletions, regclass, boolean, integer);
DROP FUNCTION mqtt.leaf_tables(regclass);
COMMIT;
