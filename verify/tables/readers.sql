-- Verify topicbase:tables/readers on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.readers', '{}', '{}');
ROLLBACK;
