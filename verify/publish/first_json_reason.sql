-- Verify topicbase:publish/first_json_reason on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.first_json_reason(json)', false, 'i', '{}');
ROLLBACK;
