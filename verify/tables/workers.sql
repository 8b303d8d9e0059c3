-- Verify topicbase:tables/workers on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.workers', '{}', '{SELECT}');
ROLLBACK;
