-- Verify topicbase:tables/rollups on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.rollup_progress', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('mqtt.late_readings', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('mqtt.rollup_series', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('mqtt.rollups', '{SELECT}', '{SELECT}');
SELECT mqtt.verify_table('mqtt.rollup_minutes', '{SELECT}', '{SELECT}');
ROLLBACK;
