-- Revert topicbase:tables/history_values from pg
BEGIN;
DROP FUNCTION mqtt.stored_after(timestamptz, timestamptz);
DROP FUNCTION mqtt.history_flags(smallint, boolean, boolean, boolean, boolean);
COMMIT;
