-- Verify topicbase:tables/presence_positions on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.presence_positions', '{}', '{}');
ROLLBACK;
