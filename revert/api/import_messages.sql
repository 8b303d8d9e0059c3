-- Revert topicbase:api/import_messages from pg
BEGIN;
DROP FUNCTION api.import_messages(uuid, json);
DROP FUNCTION mqtt.require_import_room(uuid, bigint);
DROP FUNCTION mqtt.store_imported(mqtt.device_integrations, mqtt.imported_message []);
DROP FUNCTION mqtt.insert_imported(mqtt.device_integrations, mqtt.imported_message [], timestamptz);
DROP FUNCTION mqtt.register_imported(mqtt.device_integrations, mqtt.imported_message [], boolean);
COMMIT;
