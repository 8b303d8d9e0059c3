-- Verify topicbase:message_queue on pg
BEGIN;
SELECT mqtt.verify_table('api.mqtt_message_queue', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('mqtt.mqtt_message_queue', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_function('mqtt.queued_messages()', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.refuse_write()', false, 'v', '{}');
ROLLBACK;
