-- Verify topicbase:process/store_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.insert_samples(mqtt.arrived_sample[], mqtt.numbered_topic[])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.store_messages(tid[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.count_samples(mqtt.arrived_sample[])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.record_settlements(mqtt.settled_position[])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.store_new(mqtt.arrived_sample[], mqtt.seen_device[], boolean)', false, 'v', '{}');
ROLLBACK;
