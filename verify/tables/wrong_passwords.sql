-- Verify topicbase:tables/wrong_passwords on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.wrong_passwords', '{}', '{}');
ROLLBACK;
