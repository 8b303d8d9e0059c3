-- Verify topicbase:tables/mqtt_publish_receipts on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.mqtt_publish_receipts', '{SELECT}', '{SELECT}');
ROLLBACK;
