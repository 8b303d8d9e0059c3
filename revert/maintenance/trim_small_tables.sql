-- Revert topicbase:maintenance/trim_small_tables from pg
BEGIN;
DROP FUNCTION mqtt.trim_packs(integer);
DROP FUNCTION mqtt.try_retention(regclass, text, integer);
DROP FUNCTION mqtt.trim_packs_of(integer, integer);
DROP FUNCTION mqtt.trim_small_table(text, integer);
COMMIT;
