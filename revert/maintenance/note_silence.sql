-- Revert topicbase:maintenance/note_silence from pg
BEGIN;
DROP FUNCTION mqtt.note_silence(integer);
COMMIT;
