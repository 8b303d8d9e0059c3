-- Revert topicbase:tables/renumber_subscription from pg
BEGIN;
DROP FUNCTION mqtt.renumber_subscription();
COMMIT;
