-- Verify topicbase:tables/ended_filters on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.ended_filters', '{}', '{}');
ROLLBACK;
