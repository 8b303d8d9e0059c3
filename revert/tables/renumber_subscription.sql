-- Revert topicbase:tables/renumber_subscription from pg
BEGIN;
DROP TRIGGER renumber ON mqtt.mqtt_subscriptions;
DROP FUNCTION mqtt.renumber_subscription();
COMMIT;
