-- Verify topicbase:tables/devices on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.devices', '{SELECT,INSERT,UPDATE,DELETE}', '{SELECT,INSERT,UPDATE,DELETE}');
ROLLBACK;
