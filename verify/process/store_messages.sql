-- Verify topicbase:process/store_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.insert_samples(mqtt.arrived_sample[], mqtt.numbered_topic[])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.store_messages(tid[])', true, 'v', '{}');
ROLLBACK;
