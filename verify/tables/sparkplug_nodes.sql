-- Verify topicbase:tables/sparkplug_nodes on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.sparkplug_nodes', '{}', '{}');
ROLLBACK;
