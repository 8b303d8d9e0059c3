-- Verify topicbase:tables/reading_rows on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.reading_rows', '{SELECT}', '{SELECT}');
ROLLBACK;
