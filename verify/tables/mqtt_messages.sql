-- Verify topicbase:tables/mqtt_messages on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.mqtt_messages', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_function('mqtt.write_message()', false, 'v', '{}');
ROLLBACK;
