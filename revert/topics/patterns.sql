-- Revert topicbase:topics/patterns from pg
BEGIN;
DROP FUNCTION mqtt.device_prefix(text, text, text);
DROP FUNCTION mqtt.message_role(text);
DROP FUNCTION mqtt.message_type_of_topic(text, text, smallint, smallint);
DROP FUNCTION mqtt.topic_pattern_levels(text, text);
DROP FUNCTION mqtt.topic_pattern_reason(text);
DROP FUNCTION mqtt.default_topic_pattern();
COMMIT;
