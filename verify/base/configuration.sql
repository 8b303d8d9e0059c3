-- Verify topicbase:base/configuration on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.configuration', '{SELECT}', '{SELECT}');
SELECT 1 / count(*) FROM mqtt.configuration;
ROLLBACK;
