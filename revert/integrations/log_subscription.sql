-- Revert topicbase:integrations/log_subscription from pg
BEGIN;
DROP TRIGGER z_log ON mqtt.mqtt_subscriptions;
DROP FUNCTION mqtt.log_subscription();
COMMIT;
