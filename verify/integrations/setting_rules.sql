-- Verify topicbase:integrations/setting_rules on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 'i', '{authenticated,service_role}')
FROM unnest(ARRAY[
    'mqtt.setting_names(text)', 'mqtt.secret_setting_names()', 'mqtt.jsonb_integer_between(jsonb, bigint, bigint)',
    'mqtt.jsonb_text_reason(jsonb, integer)', 'mqtt.setting_reason(text, jsonb)'
]::regprocedure []) AS f;
ROLLBACK;
