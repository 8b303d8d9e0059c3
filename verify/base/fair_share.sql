-- Verify topicbase:base/fair_share on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.fair_share(bigint, bigint, integer)', false, 'i', '{}');
ROLLBACK;
