-- Verify topicbase:base/json on pg
BEGIN;
SELECT mqtt.verify_function(f, false, 'i', '{authenticated,service_role}')
FROM unnest(ARRAY['mqtt.has_extreme_number(jsonb)', 'mqtt.checked_jsonb(text)', 'mqtt.json_reason(json)']::regprocedure []) AS f;
SELECT mqtt.verify_function('mqtt.quick_jsonb(text)', false, 'i', '{}');
ROLLBACK;
