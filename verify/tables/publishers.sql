-- Verify topicbase:tables/publishers on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.publishers', '{}', '{}');
ROLLBACK;
