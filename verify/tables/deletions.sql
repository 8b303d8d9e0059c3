-- Verify topicbase:tables/deletions on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.deletions', '{SELECT}', '{SELECT}');
ROLLBACK;
