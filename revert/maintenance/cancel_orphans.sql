-- Revert topicbase:maintenance/cancel_orphans from pg
BEGIN;
DROP FUNCTION mqtt.cancel_orphans(integer);
COMMIT;
