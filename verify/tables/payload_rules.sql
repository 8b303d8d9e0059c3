-- Verify topicbase:tables/payload_rules on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.payload_rules', '{SELECT,INSERT,UPDATE,DELETE}', '{SELECT,INSERT,UPDATE,DELETE}');
ROLLBACK;
