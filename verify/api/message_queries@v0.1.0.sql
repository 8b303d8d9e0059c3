-- Verify topicbase:api/message_queries on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.both_messages_sql(mqtt.message_request, boolean, mqtt.message_request, boolean)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.messages_sql(mqtt.message_request, boolean, boolean)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.messages(mqtt.message_request)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.has_few_messages(integer [], timestamptz, timestamptz, integer)', false, 's', '{authenticated,service_role}');
ROLLBACK;
