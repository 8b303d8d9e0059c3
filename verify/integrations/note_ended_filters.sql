-- Verify topicbase:integrations/note_ended_filters on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.note_ended_filter()', true, 'v', '{}');
ROLLBACK;
