-- Verify topicbase:ingest/device_session on pg
BEGIN;
SELECT 'mqtt.device_session'::regtype;
ROLLBACK;
