-- Verify topicbase:process/record_device_facts on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.record_device_facts(jsonb)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.merged_metadata(jsonb, jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.sample_position(bigint, integer)', false, 'v', '{}');
ROLLBACK;
