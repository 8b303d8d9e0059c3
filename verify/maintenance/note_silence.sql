-- Verify topicbase:maintenance/note_silence on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.note_silence(integer)', true, 'v', '{}');
ROLLBACK;
