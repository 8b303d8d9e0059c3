-- Verify topicbase:process/queue_view on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.mqtt_message_queue', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_function('mqtt.queued_messages()', true, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.failure_of(uuid, uuid, timestamptz)', false, 's', '{authenticated,service_role}');
ROLLBACK;
