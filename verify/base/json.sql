-- Verify topicbase:base/json on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 'i', '{authenticated,service_role}')
FROM unnest(ARRAY[
    'mqtt.has_extreme_number(jsonb)', 'mqtt.is_too_deep(jsonb, integer)', 'mqtt.checked_jsonb(text, integer)', 'mqtt.json_reason(json, integer)',
    'mqtt.has_far_numbers(jsonb)', 'mqtt.has_far_exponents(text)', 'mqtt.far_exponents_reason()', 'mqtt.payload_has_far_exponents(text, integer)'
]::regprocedure []) AS f;
SELECT mqtt.verify_function('mqtt.has_many_brackets(text)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.quick_jsonb(text)', false, 'i', '{}');
ROLLBACK;
