-- Verify topicbase:ingest/session_quotas on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.take_quota(mqtt.device_session, integer)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.require_bytes(mqtt.device_session, bigint)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.quota_wait(mqtt.device_session)', false, 'i', '{}');
ROLLBACK;
