-- Verify topicbase:bridge/matched_filters on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.matched_filters(uuid[], uuid[], integer[], text[], smallint[], boolean[], integer[])', false, 's', '{}');
ROLLBACK;
