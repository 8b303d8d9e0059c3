-- Revert topicbase:mqtt_subscriptions from pg
BEGIN;
DROP TABLE mqtt.mqtt_subscriptions;
DROP FUNCTION mqtt.renumber_subscription();
COMMIT;
