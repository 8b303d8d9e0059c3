-- Revert topicbase:integrations/broker_url from pg
BEGIN;
DROP FUNCTION mqtt.broker_url(mqtt.device_integrations);
COMMIT;
