-- Revert topicbase:api/message_topics from pg
BEGIN;
DROP FUNCTION mqtt.topics_of(uuid [], uuid, uuid, text, text);
DROP FUNCTION mqtt.range_of_id(integer [], uuid);
COMMIT;
