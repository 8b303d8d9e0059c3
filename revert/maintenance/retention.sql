-- Revert topicbase:maintenance/retention from pg
BEGIN;
DROP FUNCTION mqtt.apply_retention(integer);
DROP FUNCTION mqtt.note_retention();
DROP FUNCTION mqtt.trim_small_tables(integer);
DROP FUNCTION mqtt.unsettled_since(timestamptz, uuid);
DROP FUNCTION mqtt.trim_rows(regclass, text, text, text, integer);
COMMIT;
