-- Verify topicbase:topics/templates on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 'i', '{authenticated,service_role}')
FROM unnest(ARRAY[
    'mqtt.template_parts(text)', 'mqtt.template_reason(text)', 'mqtt.filled_template(jsonb, text [], jsonb, jsonb, text)', 'mqtt.scalar_text(jsonb)'
]::regprocedure []) AS f;
ROLLBACK;
