-- Revert topicbase:process/sparkplug from pg
BEGIN;
DROP FUNCTION mqtt.sparkplug_node(uuid, uuid, text, jsonb);
DROP FUNCTION mqtt.decoded_sparkplug(mqtt.sparkplug_message [], mqtt.sparkplug_nodes []);
DROP FUNCTION mqtt.sparkplug_messages(mqtt.rule_message []);
DROP FUNCTION mqtt.sparkplug_topic(text);
COMMIT;
