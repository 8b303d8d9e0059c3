-- Revert topicbase:tables/mqtt_subscriptions from pg
BEGIN;
DROP TABLE mqtt.mqtt_subscriptions;
COMMIT;
