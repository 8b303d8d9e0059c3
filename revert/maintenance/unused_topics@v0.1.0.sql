-- Revert topicbase:maintenance/unused_topics from pg
BEGIN;
DROP FUNCTION mqtt.remove_unused_topics(integer);
DROP FUNCTION mqtt.remove_topics(uuid, integer []);
DROP FUNCTION mqtt.is_packed_topic(uuid, integer);
COMMIT;
