-- Verify topicbase:process/prepare_sparkplug on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.save_sparkplug_nodes(mqtt.sparkplug_nodes [], timestamptz [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.read_sparkplug(mqtt.sparkplug_message [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.prepare_sparkplug(mqtt.rule_message [])', false, 'v', '{}');
ROLLBACK;
