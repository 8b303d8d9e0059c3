-- Verify topicbase:topics/filters on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 'i', '{authenticated,service_role}')
FROM unnest(
    ARRAY[
        'mqtt.topic_filter_reason(text)', 'mqtt.topic_filter_levels(text)', 'mqtt.topic_matches(text, text)', 'mqtt.topic_filter_prefix(text)',
        'mqtt.topic_prefixes(text)'
    ]::regprocedure []
) AS f;
SELECT mqtt.verify_function('mqtt.matched_levels(text, text, smallint)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.topic_matches_any(text[], text)', false, 'i', '{}');
ROLLBACK;
