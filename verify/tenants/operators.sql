-- Verify topicbase:tenants/operators on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.operators', '{SELECT}', '{SELECT}');
ROLLBACK;
