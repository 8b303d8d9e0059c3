-- Verify topicbase:bridge/sealed_values on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.sealed_values', '{}', '{}');
ROLLBACK;
