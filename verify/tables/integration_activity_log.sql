-- Verify topicbase:tables/integration_activity_log on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.integration_activity_log', '{SELECT}', '{SELECT}');
ROLLBACK;
