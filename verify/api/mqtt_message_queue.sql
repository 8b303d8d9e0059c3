-- Verify topicbase:api/mqtt_message_queue on pg
BEGIN;
SELECT mqtt.verify_table('api.mqtt_message_queue', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_function('mqtt.refuse_write()', false, 'v', '{}');
ROLLBACK;
