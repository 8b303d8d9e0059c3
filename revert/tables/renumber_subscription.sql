-- Revert topicbase:tables/renumber_subscription from pg
BEGIN;
DROP TRIGGER renumber ON mqtt.mqtt_subscriptions;
DROP TRIGGER number ON mqtt.mqtt_subscriptions;
DROP FUNCTION mqtt.renumber_subscription();
DROP FUNCTION mqtt.permuted_number(integer);
DROP SEQUENCE mqtt.subscription_numbers;
COMMIT;
