-- Verify topicbase:process/prepare_sparkplug on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.prepare_sparkplug(tid [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.save_sparkplug_node(mqtt.sparkplug_nodes, text, timestamptz)', false, 'v', '{}');
ROLLBACK;
