-- Verify topicbase:bridge/delivered_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.delivered_messages(uuid[], uuid[], integer[], text[], bytea[], smallint[], boolean[], text[], jsonb[], text[], integer[])', false, 's', '{}');
ROLLBACK;
