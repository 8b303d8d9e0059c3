-- Revert topicbase:maintenance/note_silence from pg
BEGIN;
DROP FUNCTION mqtt.note_silence(integer);
DROP FUNCTION mqtt.silence_of_rules(uuid, uuid);
COMMIT;
