-- Verify topicbase:tables/device_integrations on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.device_integrations', '{SELECT,INSERT,UPDATE,DELETE}', '{SELECT,INSERT,UPDATE,DELETE}');
ROLLBACK;
