-- Revert topicbase:tables/packed_changes from pg
BEGIN;
DROP FUNCTION mqtt.note_packed_change() CASCADE;
DROP FUNCTION mqtt.refuse_packed_day(date);
COMMIT;
