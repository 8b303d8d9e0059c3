-- Revert topicbase:ingest/device_session from pg
BEGIN;
DROP TYPE mqtt.device_session;
COMMIT;
