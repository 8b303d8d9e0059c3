-- Verify topicbase:tables/topic_numbers on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.topic_number(uuid, uuid, text, uuid, text, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.is_topic_known(uuid, uuid, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.current_topic(uuid, uuid, text)', false, 's', '{}');
ROLLBACK;
