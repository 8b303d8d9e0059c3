-- Verify topicbase:tables/ended_logins on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.ended_logins', '{}', '{}');
ROLLBACK;
