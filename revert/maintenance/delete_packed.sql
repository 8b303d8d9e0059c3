-- Revert topicbase:maintenance/delete_packed from pg
BEGIN;
DROP FUNCTION mqtt.delete_packed(mqtt.deletions, integer);
COMMIT;
