-- Verify topicbase:tables/outbound_batches on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.outbound_batches', '{}', '{SELECT}');
ROLLBACK;
