-- Verify topicbase:tables/packed_changes on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.note_packed_change()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.refuse_packed_day(date)', false, 'v', '{}');
ROLLBACK;
