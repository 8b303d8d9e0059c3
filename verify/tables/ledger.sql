-- Verify topicbase:tables/ledger on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.ledger', '{SELECT}', '{SELECT}');
ROLLBACK;
