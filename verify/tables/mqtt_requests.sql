-- Verify topicbase:tables/mqtt_requests on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.mqtt_requests', '{SELECT}', '{SELECT}');
ROLLBACK;
