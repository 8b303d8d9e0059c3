-- Verify topicbase:maintenance/unused_topics on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_packed_topic(uuid, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.remove_topics(uuid, integer [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.remove_unused_topics(integer)', true, 'v', '{}');
ROLLBACK;
