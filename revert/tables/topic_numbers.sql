-- Revert topicbase:tables/topic_numbers from pg
BEGIN;
DROP FUNCTION mqtt.current_topic(uuid, uuid, text);
DROP FUNCTION mqtt.is_topic_known(uuid, uuid, text);
DROP FUNCTION mqtt.topic_number(uuid, uuid, text, uuid, text, text);
COMMIT;
