-- Verify topicbase:tables/history on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.history', '{SELECT}', '{SELECT}');
ROLLBACK;
