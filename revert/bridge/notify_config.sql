-- Revert topicbase:bridge/notify_config from pg
BEGIN;
DROP TRIGGER notify_config ON mqtt.mqtt_credentials;
DROP TRIGGER notify_config_granted ON mqtt.mqtt_subscriptions;
DROP TRIGGER notify_config ON mqtt.mqtt_subscriptions;
DROP TRIGGER notify_config_update ON mqtt.device_integrations;
DROP TRIGGER notify_config ON mqtt.device_integrations;
DROP FUNCTION mqtt.notify_config();
COMMIT;
