-- Verify topicbase:tables/mqtt_messages on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.mqtt_messages', '{SELECT}', '{SELECT}');
ROLLBACK;
