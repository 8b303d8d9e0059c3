-- Verify topicbase:maintenance/note_silence on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.silence_of_rules(uuid, uuid)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.note_silence(integer)', true, 'v', '{}');
ROLLBACK;
