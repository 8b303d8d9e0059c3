-- Verify topicbase:tables/retained_messages on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.retained_messages', '{}', '{}');
ROLLBACK;
