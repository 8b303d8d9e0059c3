-- Revert topicbase:ingest/session_quotas from pg
BEGIN;
DROP FUNCTION mqtt.quota_wait(mqtt.device_session);
DROP FUNCTION mqtt.require_bytes(mqtt.device_session, bigint);
DROP FUNCTION mqtt.take_quota(mqtt.device_session, integer);
COMMIT;
