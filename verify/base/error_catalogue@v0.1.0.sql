-- Verify topicbase:base/error_catalogue on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.error_catalogue()', false, 'i', '{}');
ROLLBACK;
