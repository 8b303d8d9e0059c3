-- Revert topicbase:integrations/client_ids from pg
BEGIN;
DROP TRIGGER a_client_id ON mqtt.mqtt_credentials;
DROP FUNCTION mqtt.give_client_id();
DROP FUNCTION mqtt.is_client_id_free(text, uuid);
COMMIT;
