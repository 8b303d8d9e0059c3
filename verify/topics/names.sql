-- Verify topicbase:topics/names on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 'i', '{authenticated,service_role}')
FROM unnest(
    ARRAY[
        'mqtt.has_forbidden_character(text)',
        'mqtt.is_plain_topic(text)',
        'mqtt.topic_name_reason(text)',
        'mqtt.outbound_topic_reason(text)',
        'mqtt.topic_is_under(text, text)'
    ]::regprocedure []
) AS f;
ROLLBACK;
