-- Revert topicbase:tables/device_integrations from pg
BEGIN;
DROP TABLE mqtt.device_integrations;
DROP FUNCTION mqtt.bridge_client_id(uuid, jsonb);
COMMIT;
