-- Verify topicbase:tables/mqtt_callbacks on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.callback_secrets', '{}', '{}');
SELECT mqtt.verify_table('mqtt.callback_circuits', '{}', '{}');
SELECT mqtt.verify_table('mqtt.mqtt_callback_deliveries', '{SELECT}', '{SELECT}');
ROLLBACK;
