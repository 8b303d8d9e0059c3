-- Verify topicbase:tables/packs on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.packs', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('mqtt.packed_days', '{SELECT}', '{SELECT}');
ROLLBACK;
