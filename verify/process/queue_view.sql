-- Verify topicbase:process/queue_view on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.mqtt_message_queue', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_function('mqtt.queued_messages()', true, 's', '{authenticated,service_role}');
ROLLBACK;
