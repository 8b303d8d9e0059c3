-- Revert topicbase:integrations/outdate_topics from pg
BEGIN;
DROP TRIGGER z_outdate_moved ON mqtt.devices;
DROP TRIGGER z_outdate_topics ON mqtt.devices;
DROP FUNCTION mqtt.outdate_device_topics();
DROP TRIGGER z_outdate_topics ON mqtt.device_integrations;
DROP FUNCTION mqtt.outdate_integration_topics();
COMMIT;
