-- Revert topicbase:process/prepare_sparkplug from pg
BEGIN;
DROP FUNCTION mqtt.prepare_sparkplug(mqtt.rule_message []);
DROP FUNCTION mqtt.read_sparkplug(mqtt.sparkplug_message []);
DROP FUNCTION mqtt.save_sparkplug_nodes(mqtt.sparkplug_nodes [], timestamptz []);
COMMIT;
