-- Verify topicbase:api/message_views on pg
BEGIN;
SELECT mqtt.verify_table('api.mqtt_messages', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('api.mqtt_dead_letters', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('api.integration_activity_log', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('api.mqtt_publish_receipts', '{SELECT}', '{SELECT}');
ROLLBACK;
