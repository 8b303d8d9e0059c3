-- Verify topicbase:api/import_messages on pg
BEGIN;
SELECT mqtt.verify_function('api.import_messages(uuid, json)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.store_imported(mqtt.device_integrations, mqtt.imported_message [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.register_imported(mqtt.device_integrations, mqtt.imported_message [], boolean)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.decode_import(mqtt.device_integrations, jsonb, text [])', true, 'v', '{}');
ROLLBACK;
