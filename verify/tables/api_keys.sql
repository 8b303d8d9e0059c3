-- Verify topicbase:tables/api_keys on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.api_keys', '{}', '{}');
ROLLBACK;
