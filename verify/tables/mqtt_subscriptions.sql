-- Verify topicbase:tables/mqtt_subscriptions on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.mqtt_subscriptions', '{SELECT,INSERT,UPDATE,DELETE}', '{SELECT,INSERT,UPDATE,DELETE}');
ROLLBACK;
