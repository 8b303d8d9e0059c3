-- Verify topicbase:maintenance/delete_packed on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.delete_packed(mqtt.deletions, integer)', true, 'v', '{}');
ROLLBACK;
