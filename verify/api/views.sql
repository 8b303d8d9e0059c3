-- Verify topicbase:api/views on pg
BEGIN;
SELECT mqtt.verify_table('api.organizations', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('api.organization_members', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('api.device_integrations', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('api.mqtt_credentials', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('api.mqtt_subscriptions', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('api.devices', '{SELECT}', '{SELECT}');
ROLLBACK;
