-- Revert topicbase:process/sparkplug from pg
BEGIN;
DROP FUNCTION mqtt.try_sparkplug(bytea);
DROP FUNCTION mqtt.sparkplug_step(mqtt.sparkplug_nodes, text [], jsonb);
DROP FUNCTION mqtt.sparkplug_document(text [], jsonb, mqtt.sparkplug_nodes);
DROP FUNCTION mqtt.sparkplug_topic(text);
COMMIT;
