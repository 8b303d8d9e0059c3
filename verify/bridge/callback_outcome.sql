-- Verify topicbase:bridge/callback_outcome on pg
BEGIN;
SELECT 'mqtt.callback_outcome'::regtype;
ROLLBACK;
