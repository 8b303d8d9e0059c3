-- Verify topicbase:tables/bridges on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.bridges', '{}', '{SELECT}');
SELECT mqtt.verify_table('mqtt.bridge_leases', '{}', '{SELECT}');
ROLLBACK;
