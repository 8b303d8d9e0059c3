-- Verify topicbase:tables/mqtt_dead_letters on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.mqtt_dead_letters', '{SELECT}', '{SELECT}');
ROLLBACK;
