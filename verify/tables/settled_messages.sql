-- Verify topicbase:tables/settled_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.settled_messages(mqtt.stream_position[],integer)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.unread_settlements(mqtt.stream_position[],integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.stream_head(integer[])', false, 's', '{}');
ROLLBACK;
