-- Verify topicbase:api/message_topics on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.topics_of(uuid [], uuid, uuid, text, text)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.range_of_id(integer [], uuid)', false, 's', '{authenticated,service_role}');
ROLLBACK;
