-- Verify topicbase:process/number_topics on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.register_topics(mqtt.numbered_topic[])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.number_topics(mqtt.arrived_sample[], mqtt.seen_device[], boolean)', false, 'v', '{}');
ROLLBACK;
