-- Revert topicbase:api/import_messages from pg
BEGIN;
DROP FUNCTION api.import_messages(uuid, json);
DROP FUNCTION mqtt.store_imported(mqtt.device_integrations, mqtt.imported_message []);
DROP FUNCTION mqtt.register_imported(mqtt.device_integrations, mqtt.imported_message [], boolean);
DROP FUNCTION mqtt.decode_import(mqtt.device_integrations, jsonb, text []);
COMMIT;
