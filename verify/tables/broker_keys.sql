-- Verify topicbase:tables/broker_keys on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.broker_keys', '{}', '{}');
ROLLBACK;
