-- Revert topicbase:integrations/triggers from pg
BEGIN;
DROP TRIGGER z_changed ON mqtt.device_integrations;
DROP FUNCTION mqtt.integration_changed();
DROP TRIGGER b_client_id ON mqtt.device_integrations;
DROP FUNCTION mqtt.check_client_id();
DROP TRIGGER a_check ON mqtt.device_integrations;
DROP FUNCTION mqtt.check_integration();
COMMIT;
