-- Verify topicbase:process/sparkplug on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.sparkplug_topic(text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.sparkplug_messages(mqtt.rule_message [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.decoded_sparkplug(mqtt.sparkplug_message [], mqtt.sparkplug_nodes [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.sparkplug_node(uuid, uuid, text, jsonb)', false, 'i', '{}');
ROLLBACK;
