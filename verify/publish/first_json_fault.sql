-- Verify topicbase:publish/first_json_fault on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.first_json_fault(json)', false, 'i', '{}');
ROLLBACK;
