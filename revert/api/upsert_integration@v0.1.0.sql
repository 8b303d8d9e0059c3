-- Revert topicbase:api/upsert_integration from pg
BEGIN;
DROP FUNCTION api.delete_integration(uuid);
DROP FUNCTION api.upsert_integration(uuid, text, text, jsonb, uuid, text);
DROP FUNCTION mqtt.require_integration_room(uuid);
DROP FUNCTION mqtt.integration_json(mqtt.device_integrations);
COMMIT;
