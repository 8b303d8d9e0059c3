-- Revert topicbase:topics/filters from pg
BEGIN;
DROP FUNCTION mqtt.topic_matches_any(text [], text);
DROP FUNCTION mqtt.topic_prefixes(text);
DROP FUNCTION mqtt.topic_filter_prefix(text);
DROP FUNCTION mqtt.topic_matches(text, text);
DROP FUNCTION mqtt.matched_levels(text, text, smallint);
DROP FUNCTION mqtt.topic_filter_levels(text);
DROP FUNCTION mqtt.topic_filter_reason(text);
COMMIT;
