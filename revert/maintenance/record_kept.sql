-- Revert topicbase:maintenance/record_kept from pg
BEGIN;
DROP FUNCTION mqtt.record_kept(mqtt.deletions, uuid, timestamptz, timestamptz);
COMMIT;
