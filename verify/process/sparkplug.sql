-- Verify topicbase:process/sparkplug on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.try_sparkplug(bytea)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.sparkplug_step(mqtt.sparkplug_nodes, text [], jsonb)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.sparkplug_document(text [], jsonb, mqtt.sparkplug_nodes)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.sparkplug_topic(text)', false, 'i', '{}');
ROLLBACK;
