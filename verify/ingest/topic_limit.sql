-- Verify topicbase:ingest/topic_limit on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_topic_refused(mqtt.device_session, text)', false, 's', '{}');
ROLLBACK;
