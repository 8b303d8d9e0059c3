-- Revert topicbase:process/prepare_sparkplug from pg
BEGIN;
DROP FUNCTION mqtt.prepare_sparkplug(tid []);
DROP FUNCTION mqtt.save_sparkplug_node(mqtt.sparkplug_nodes, text, timestamptz);
COMMIT;
