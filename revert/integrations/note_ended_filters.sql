-- Revert topicbase:integrations/note_ended_filters from pg
BEGIN;
DROP TRIGGER wanted_filter ON mqtt.mqtt_subscriptions;
DROP TRIGGER ended_filter_update ON mqtt.mqtt_subscriptions;
DROP TRIGGER ended_filter ON mqtt.mqtt_subscriptions;
DROP FUNCTION mqtt.note_ended_filter();
COMMIT;
