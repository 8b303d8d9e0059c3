-- Verify topicbase:api/import_messages on pg
BEGIN;
SELECT mqtt.verify_function('api.import_messages(uuid, json)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_import_room(uuid, bigint)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.store_imported(mqtt.device_integrations, mqtt.imported_message [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.insert_imported(mqtt.device_integrations, mqtt.imported_message [], timestamptz)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.register_imported(mqtt.device_integrations, mqtt.imported_message [], boolean)', true, 'v', '{}');
ROLLBACK;
