-- Verify topicbase:tables/filters_by_prefix on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.filters_by_prefix(uuid, uuid, text, boolean)', false, 's', '{}');
ROLLBACK;
