-- Verify topicbase:topics/patterns on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 'i', '{authenticated,service_role}')
FROM unnest(ARRAY[
    'mqtt.default_topic_pattern()', 'mqtt.message_role(text)', 'mqtt.topic_pattern_reason(text)', 'mqtt.topic_pattern_levels(text, text)',
    'mqtt.device_prefix(text, text, text)'
]::regprocedure []) AS f;
SELECT mqtt.verify_function('mqtt.message_type_of_topic(text, text, smallint, smallint)', false, 's', '{}');
ROLLBACK;
