-- Verify topicbase:tables/maintenance_failures on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.maintenance_failures', '{}', '{}');
ROLLBACK;
