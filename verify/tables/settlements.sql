-- Verify topicbase:tables/settlements on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.settlements', '{}', '{}');
ROLLBACK;
