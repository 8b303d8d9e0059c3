-- Verify topicbase:base/api_version on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.api_version()', false, 'i', '{}');
ROLLBACK;
