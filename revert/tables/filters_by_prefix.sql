-- Revert topicbase:tables/filters_by_prefix from pg
BEGIN;
DROP FUNCTION mqtt.filters_by_prefix(uuid, uuid, text, boolean);
COMMIT;
