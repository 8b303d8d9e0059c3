-- Revert topicbase:topics/names from pg
BEGIN;
DROP FUNCTION mqtt.topic_is_under(text, text);
DROP FUNCTION mqtt.outbound_topic_reason(text);
DROP FUNCTION mqtt.topic_name_reason(text);
DROP FUNCTION mqtt.is_plain_topic(text);
DROP FUNCTION mqtt.has_forbidden_character(text);
COMMIT;
