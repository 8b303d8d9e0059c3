-- Revert topicbase:topics from pg
BEGIN;
DROP FUNCTION mqtt.topic_is_under(text, text);
DROP FUNCTION mqtt.topic_prefixes(text);
DROP FUNCTION mqtt.topic_filter_prefix(text);
DROP FUNCTION mqtt.topic_matches(text, text);
DROP FUNCTION mqtt.topic_filter_pattern(text);
DROP FUNCTION mqtt.topic_filter_error(text);
DROP FUNCTION mqtt.topic_name_error(text);
DROP FUNCTION mqtt.has_forbidden_character(text);
COMMIT;
