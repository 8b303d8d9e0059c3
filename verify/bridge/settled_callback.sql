-- Verify topicbase:bridge/settled_callback on pg
BEGIN;
SELECT 'mqtt.settled_callback'::regtype;
ROLLBACK;
